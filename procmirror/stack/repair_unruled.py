"""The caller of code without rules on a processor with a link register.

Code that makes calls saves x30 on its stack, and that of a compiler at run time points x29 at it.
Where sp is beyond such a frame, the code does not show: the rules of a caller that has some say it,
by the place of its own return address, or by the frame record that its x29 leads to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from procmirror.stack.cfi_program import Row
from procmirror.stack.code import WORD, Call
from procmirror.stack.code_aarch64 import PROLOGUE, depth, link_saved, sets_frame_pointer
from procmirror.stack.frames import RBP, RSP, UNSURE, End, Frame, NeedsRegister
from procmirror.stack.links import Links
from procmirror.stack.repair import (
    MOST_CANDIDATES,
    MOST_SEARCHES,
    MOST_SET,
    SEVERAL,
    WITHOUT_DATA,
    Repairs,
)

MOST_TRIED = 64  # return addresses that are followed to prove a frame


class Return(NamedTuple):
    """A place on the stack, the return address there, and the call that it follows."""

    slot: int
    pc: int
    call: Call


class Callers:
    """Where the return addresses of calls of a function are, the lowest first.

    A stack may be full of them: no more than `MOST_TRIED` functions are looked for.
    """

    def __init__(self, links: Links, returns: Sequence[Return]) -> None:
        self._links, self._returns = links, returns
        self._known: dict[int, list[int]] = {}

    def of(self, function: int) -> list[int]:
        """The places; none for a function that is one too many."""
        if function not in self._known:
            if len(self._known) >= MOST_TRIED:
                return []
            self._known[function] = [
                slot
                for slot, _, call in self._returns
                if call.target is not None and self._links.leads(call.target, function)
            ]
        return self._known[function]


class UnruledRepairs(Repairs):
    """The repairs of one stack beyond code without rules."""

    def outer(self, frame: Frame) -> Frame | None:
        """The caller by the rules; None without one."""
        try:
            return self.unwinder.ruled(frame)
        except (End, NeedsRegister):
            return None

    def by_frame_pointer(self, frame: Frame) -> Frame | None:
        """The caller of code without rules that keeps a frame pointer, as generated code does."""
        found = self.linked(frame)
        if found is None or not self.links.call(found.pc):
            return None
        if not self.keeps_pointer(frame):
            if not self.process.generated(frame.at) and not self.sets_pointer(frame, MOST_SET):
                return None
            self.unwinder.doubt = WITHOUT_DATA
            found = found._replace(mark=UNSURE)
        return self.at_record(found) if self.row(found) else found

    def keeps_pointer(self, frame: Frame) -> bool:
        """Whether the function of a frame, which a symbol names, keeps a frame pointer."""
        offset = self.process.name(frame.pc, innermost=False).offset
        return offset is not None and self.sets_pointer(frame, min(offset, MOST_SET))

    def sets_pointer(self, frame: Frame, size: int) -> bool:
        """Whether the code before a place, so many bytes of it, sets the frame pointer."""
        mapping = self.process.maps.holding(frame.pc - 1)
        size = min(size, frame.pc - mapping.start) if mapping else 0
        return sets_frame_pointer(self.process.code(frame.pc - size, size))

    def at_record(self, found: Frame) -> Frame | None:
        """A frame with rules that a frame pointer led to, its SP by the place that x29 points to.

        That is where its own beginning has saved x29, unless it keeps no frame pointer: then its
        return address is not there.
        """
        ruled = self.row(found)
        saved = ruled and ruled[0].rules.get(RBP)
        if not ruled or not saved or saved.kind != "at" or ruled[0].program:
            return None
        registers = dict(found.registers)
        if ruled[0].register == RSP:
            registers[RSP] = (registers[RBP] - saved.value - ruled[0].offset) & WORD
        placed = found._replace(registers=registers)
        outer = self.outer(placed)
        right = outer and registers[RSP] >= found.registers[RSP] and self.leads_on(placed, outer)
        return placed if right else None

    def leads_on(self, frame: Frame, outer: Frame) -> bool:
        """Whether the code does not contradict that `outer` called the function of `frame`."""
        try:
            return self.unwinder.follows(frame, outer) is not False
        except End:
            return False

    def beyond(self, frame: Frame) -> Frame | None:
        """The first frame beyond code without rules, by the return address that this has saved.

        What older calls left there may look the same: another place in the same function.
        """
        self.searches += 1
        if self.searches > MOST_SEARCHES:
            return None
        found = list(islice(self.framed(frame), MOST_CANDIDATES))
        offset = self.process.name(frame.pc, innermost=False).offset
        named = [
            one for one in found if offset is not None and self.called(one) == frame.pc - offset
        ]
        likely = {one.pc: one for one in named or found}
        if len(likely) != 1:
            self.reason = SEVERAL if likely else None
            return None
        self.unwinder.doubt = WITHOUT_DATA
        return next(iter(likely.values()))

    def framed(self, frame: Frame) -> Iterator[Frame]:
        """The innermost frame that has called code without rules, at each call that may be the one.

        What the call leads to saves the return address where it is, or that is not known.
        """
        returns = [
            Return(slot, pc, call)
            for slot in self.slots(frame)
            if (pc := self.word(slot)) and (call := self.links.call(pc))
        ]
        callers = Callers(self.links, returns)
        top, tried = self.memory.end, 0
        for slot, pc, call in returns:
            if slot >= top or tried >= MOST_TRIED:
                return
            self.unwinder.check_time()
            found = None if self.links.is_ruled(call) else self.above(slot, pc, callers)
            if found is None or not slot < found.registers[RSP] <= top:
                continue
            tried += 1
            if self.is_called(found) and self.is_saved(found, slot):
                top = found.registers[RSP]
                yield found

    def is_saved(self, frame: Frame, slot: int) -> bool:
        """Whether what a frame calls saves its return address at `slot`, or that is not known."""
        called = self.called(frame)
        saved = called and link_saved(self.process.code(called, PROLOGUE))
        return saved in {None, frame.registers[RSP] - slot}

    def above(self, slot: int, pc: int, callers: Callers) -> Frame | None:
        """The frame that goes on at `pc`; the first return address that fits calls its function."""
        ruled = self.row(Frame(pc, {}))
        if ruled is None:
            return None
        places = callers.of(ruled[1])
        at = bisect_right(places, slot)
        return self.put(pc, *ruled, places[at]) if at < len(places) else None

    def put(self, pc: int, row: Row, function: int, slot: int) -> Frame | None:
        """The frame that goes on at `pc`, if its return address is at `slot`."""
        saved = row.rules.get(row.return_register)
        if saved is None or saved.kind != "at" or row.program:
            return None
        cfa = (slot - saved.value) & WORD
        base = (cfa - row.offset) & WORD
        if row.register == RSP:
            return Frame(pc, {RSP: base}, mark=UNSURE, gap=True)
        code = self.process.code(function, min(pc - function, PROLOGUE))
        return Frame(pc, {RSP: cfa - depth(code), RBP: base}, mark=UNSURE, gap=True)

    def called(self, frame: Frame) -> int | None:
        """The function that the call of a frame leads to, through a stub too; None if unknown."""
        call = self.links.call(frame.pc)
        slot = self.links.stub(call.target) if call and call.target else None
        return self.process.slot(slot) if slot is not None else call and call.target

    def called_by(self, frame: Frame, row: Row, function: int) -> Frame | None:
        """The caller by the rules."""
        del row, function
        return self.outer(frame)
