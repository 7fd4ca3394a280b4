"""The caller of a frame where the rules do not lead to it.

1. The prologue of the function tells how far SP is below the return address. A call of this
   function must stand before that address, or an indirect one if the rules lead from there to the
   end of the stack.
2. The stack is searched upwards for the return address (alloca moved SP). What older calls left
   there looks the same, so a candidate must lead to the end of the stack by links that the code
   confirms, no other may contradict it, and the stack is not called complete. The callers of main
   and of the functions of threads are not found so: their return addresses are on every stack.
3. Beyond code without rules (musl has none) the first return address is taken into code with rules
   that a direct call proves to be the caller of what is found there. The frames before it are
   missing, and the stack is not called complete.
4. Code without rules is believed to keep rbp as frame pointer. In generated code, where
   interpreters push return addresses that no call left, the frame pointers must lead to the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from procmirror.stack import golang
from procmirror.stack.cfi_program import UNDEFINED, Row
from procmirror.stack.code import (
    MOV_RSP_RBP,
    PROLOGUE,
    PUSH_RBP,
    frame_size,
    moves_sp,
    sets_frame_pointer,
)
from procmirror.stack.elf import BROKEN
from procmirror.stack.frames import (
    NO_FILE,
    NOWHERE,
    RBP,
    REPAIRED,
    RSP,
    UNSURE,
    End,
    Frame,
    NeedsRegister,
)

if TYPE_CHECKING:
    from procmirror.stack.unwind import Unwinder

MOST_SCANNED = 16 << 10
MOST_CANDIDATES = 32
MOST_SEARCHES = 16  # of one stack
MOST_FOLLOWED = 256  # frames from a candidate
MOST_CODE = 64 << 10
MOST_SET = 4096  # bytes of code in which a function sets its frame pointer
# The frames from the caller of main, or of a thread's function, to the outermost one.
OUTERMOST = 3

_RETURNS = (b"\xc3", b"\xc2")
# The prologue, behind checks that V8 puts before it: no return, jump, call or padding.
_ENTRY = 32  # bytes of it that are looked at
_PROLOGUE = re.compile(
    rb"[^\xc2\xc3\xcc\xe8\xe9\xeb\xff]{0,24}?\x55\x48(?:\x89\xe5|\x8b\xec)", re.DOTALL
)
_HOTSPOT = re.compile(rb"jvm\.so")
SEARCHED = "a frame was found by search: frames may be missing"
WITHOUT_DATA = "a frame has no unwind data: frames may be missing"
SEVERAL = "several return addresses could be the right one"


class Chain(NamedTuple):
    """What is found from a candidate outwards: return slots and functions, and how it ends.

    `holds` is True if the end is reached, False if a link contradicts the code, else None.
    """

    slots: list[int]
    functions: list[int | None]
    holds: bool | None


class Candidate(NamedTuple):
    """A return address that may be the right one; `proven` if its call leads to the function."""

    slot: int
    frame: Frame
    proven: bool
    chain: Chain


class Repairs:
    """The repairs of one stack; `reason` says why one found nothing."""

    def __init__(self, unwinder: Unwinder) -> None:
        self.unwinder = unwinder
        self.process, self.memory = unwinder.process, unwinder.memory
        self.links = unwinder.links
        self.searches = 0
        self.reason: str | None = None
        self.trusted: set[int] = set()  # stack pointers of frames that lead to the end

    def by_call(self, frame: Frame) -> Frame | None:
        """The caller by the call that it made."""
        ruled = self.row(frame)
        if ruled is None:
            return None
        return self.by_prologue(frame, *ruled) or self.by_search(frame, *ruled)

    def row(self, frame: Frame) -> tuple[Row, int] | None:
        """The rules of a frame, and where its function begins."""
        place = self.process.place(frame.at)
        return (place.row, place.row.start + place.image.bias) if place and place.row else None

    def by_prologue(self, frame: Frame, row: Row, function: int) -> Frame | None:
        """The caller if SP has not moved since the prologue."""
        code = self.process.code(function, min(row.end - row.start, MOST_CODE))
        if row.register != RBP or frame.pc <= function:
            return None
        saved = max((-rule.value for rule in row.rules.values() if rule.kind == "at"), default=16)
        least, more = frame_size(code[: min(PROLOGUE, frame.pc - function)], saved)
        first = frame.registers[RSP] + least - 8
        slots = range(first, first + more + 1, 8)
        found = [one for slot in slots if (one := self.returned(frame, row, function, slot))]
        if len(found) != 1:
            return None
        # Only one return address on a stack leads to its outermost function: it is no older one.
        caller, chain = found[0]
        return None if moves_sp(code) and not self.is_outermost(chain) else caller

    def returned(
        self, frame: Frame, row: Row, function: int, slot: int
    ) -> tuple[Frame, Chain] | None:
        """The caller if its return address is at `slot`, and what is beyond it."""
        call = self.links.call(self.word(slot))
        found = self.at_slot(frame, row, slot)
        if found is None or (call is None and not self.is_after_signal(found)):
            return None
        goes = self.links.goes_to(call, found.registers, function) if call else True
        chain = self.chain(found)
        if goes is False or chain.holds is False or not (goes or chain.holds):
            return None
        return found if goes else found._replace(mark=UNSURE), chain

    def is_after_signal(self, frame: Frame) -> bool:
        """Whether a frame is where a signal handler returns to, which no call is before.

        The kernel alone puts that address on a stack, at the return slot of the handler.
        """
        place = self.process.place(frame.at)
        return place is not None and place.row is not None and place.row.signal

    def is_inner(self, chain: Chain) -> bool:
        """Whether an unproven candidate leads to the end, and is not on every stack."""
        return chain.holds is True and not self.is_outermost(chain)

    @staticmethod
    def is_outermost(chain: Chain) -> bool:
        """Whether a chain begins with the caller of main, or of a thread's function."""
        return chain.holds is True and len(chain.slots) < OUTERMOST

    def by_search(self, frame: Frame, row: Row, function: int) -> Frame | None:
        """The caller by a return address on the stack that a call of this function left."""
        self.searches += 1
        if self.searches > MOST_SEARCHES:
            return None
        candidates = list(self.candidates(frame, row, function))
        proven = [one for one in candidates if one.proven]
        likely = proven or [one for one in candidates if self.is_inner(one.chain)]
        if not likely:
            return None
        first = likely[0]
        explained = {first.slot, *first.chain.slots}
        if function in first.chain.functions or any(one.slot not in explained for one in likely):
            self.reason = SEVERAL
            return None
        self.unwinder.doubt = SEARCHED
        return first.frame if first.proven else first.frame._replace(mark=UNSURE)

    def candidates(self, frame: Frame, row: Row, function: int) -> Iterator[Candidate]:
        """The return addresses above SP that nothing contradicts."""
        found = 0
        for slot in self.slots(frame):
            call = self.links.call(self.word(slot))
            caller = self.at_slot(frame, row, slot) if call else None
            if call is None or caller is None:
                continue
            goes = self.links.goes_to(call, caller.registers, function)
            chain = self.chain(caller) if goes is not False else None
            if chain is None or chain.holds is False:
                continue
            yield Candidate(slot, caller, goes is True, chain)
            found += 1
            if found >= MOST_CANDIDATES:
                return

    def slots(self, frame: Frame) -> Iterator[int]:
        """The places above SP where a return address may be."""
        sp = frame.registers[RSP]
        return iter(range((sp + 7) & -8, min(self.memory.end - 7, sp + MOST_SCANNED), 8))

    def word(self, slot: int) -> int | None:
        """What may be a return address on the stack."""
        found = self.memory.word(slot)
        return None if found is None else self.process.address(found)

    def slot(self, frame: Frame, caller: Frame) -> int:
        """Where the return address of a frame was, whose caller is known."""
        del frame
        return caller.registers[RSP] - 8

    def at_slot(self, frame: Frame, row: Row, slot: int) -> Frame | None:
        """The frame whose return address is at `slot`, with the registers that were saved there."""
        if slot < frame.registers[RSP]:
            return None
        saved = row.rules.get(row.return_register)
        if saved is None or saved.kind != "at":
            return None
        try:
            registers = self.unwinder.restored(row, slot - saved.value, frame.registers)
        except BROKEN:
            return None
        pc = registers.pop(row.return_register, None)
        if pc is None or pc != self.word(slot):
            return None
        return Frame(pc, registers, mark=UNSURE if frame.mark == UNSURE else REPAIRED)

    def chain(self, frame: Frame, *, linked: bool = False) -> Chain:
        """The frames from `frame` on by the rules alone.

        `linked` if frame pointers may help in code without a file.
        """
        slots: list[int] = []
        functions: list[int | None] = []
        at: Frame | None = frame
        holds: bool | None = True
        passed = set()
        try:
            for _ in range(MOST_FOLLOWED):
                assert at is not None
                functions.append(self.process.function(at.at))
                passed.add(at.registers[RSP])
                inner, at = at, self.next(at, linked=linked)
                if at is None:
                    return Chain(slots, functions, None)
                slots.append(self.slot(inner, at))
        except End as end:
            holds = end.reason is None or (None if end.reason in _OPEN else False)
        except NeedsRegister:
            holds = None
        if holds:
            self.trusted |= passed
        return Chain(slots, functions, holds)

    def next(self, frame: Frame, *, linked: bool) -> Frame | None:
        """The next frame of a chain; `End` where a link contradicts the code."""
        found = self.unwinder.ruled(frame)
        if found:
            if self.unwinder.follows(frame, found) is False:
                raise End(SEVERAL)
            return found
        return self.linked(frame) if linked and self.process.generated(frame.at) else None

    def by_frame_pointer(self, frame: Frame) -> Frame | None:
        """The caller of code without rules, by the chain of frame pointers."""
        image = self.process.image(frame.at)
        if image and golang.is_go(image.elf):
            return None
        generated = self.process.generated(frame.at)
        if generated and frame.interrupted and (edge := self.at_edge(frame)):
            return edge
        found = self.linked(frame)
        if found is None:
            return None
        if generated and not self.keeps_pointer(frame) and self.may_hide(frame):
            self.unwinder.doubt = WITHOUT_DATA
            found = found._replace(mark=UNSURE)
        call = self.links.call(found.pc)
        if call:
            return found if generated else self.named(frame, found)
        found = found._replace(mark=UNSURE)
        if found.registers[RSP] in self.trusted:
            return found
        return found if generated and self.chain(found, linked=True).holds else None

    def at_edge(self, frame: Frame) -> Frame | None:
        """The caller of generated code that is interrupted where its frame is not, or not yet.

        At a return, and in front of `push rbp; mov rbp,rsp`, the return address is on top of the
        stack; between these two it is behind the saved rbp.
        """
        code = self.process.code(frame.pc - 1, 1 + _ENTRY)
        before, here = code[:1], code[1:]
        slot = frame.registers[RSP]
        if before == PUSH_RBP and here[:3] in MOV_RSP_RBP:
            slot += 8
        elif here[:1] not in _RETURNS and not _PROLOGUE.match(here):
            return None
        pc = self.word(slot)
        if pc is None or not (self.process.generated(pc - 1) or self.links.call(pc)):
            return None
        known = {number: frame.registers[number] for number in (RBP,) if number in frame.registers}
        return Frame(pc, {**known, RSP: slot + 8}, mark=REPAIRED)

    def keeps_pointer(self, frame: Frame) -> bool:
        """Whether generated code that made a call keeps a frame pointer, as its beginning shows.

        The beginning is told by the compiler's list of names, else looked for before the call.
        HotSpot has such code beside other code.
        """
        if frame.interrupted or self.process.maps.named(_HOTSPOT):
            return False
        offset = self.process.name(frame.pc, innermost=False).offset
        start = frame.pc - (MOST_SET if offset is None else offset)
        return sets_frame_pointer(self.process.code(start, min(MOST_SET, frame.pc - start)))

    def may_hide(self, frame: Frame) -> bool:
        """Whether other frames may be between a frame and the place that its frame pointer holds.

        Each would have its return address there. Compiled code of HotSpot keeps no frame pointer,
        but leaves that of the interpreter, whose frame would then be missing.
        """
        first, last = (frame.registers[RSP] + 7) & -8, frame.registers[RBP]
        if last - first > MOST_SCANNED:
            return True
        words = filter(None, map(self.word, range(first, last, 8)))
        return any(self.process.generated(one - 1) or self.links.call(one) for one in words)

    def named(self, frame: Frame, found: Frame) -> Frame | None:
        """A caller by frame pointer, if it calls the function that a symbol names.

        A function that keeps no frame pointer leaves that of its caller, which is then left out.
        """
        call, name = self.links.call(found.pc), self.process.name(frame.pc, innermost=False)
        goes = None
        if call and name.offset is not None:
            function = frame.pc - name.offset
            if sets_frame_pointer(self.process.code(function, min(name.offset, MOST_SET))):
                return found
            goes = self.links.goes_to(call, found.registers, function)
        if goes is False:
            return None
        if goes is None:
            self.unwinder.doubt = WITHOUT_DATA
            return found._replace(mark=UNSURE)
        return found

    def beyond(self, frame: Frame) -> Frame | None:
        """The first frame beyond code without rules; those between are missing."""
        image = self.process.image(frame.at)
        if image is None or golang.is_go(image.elf):
            return None
        self.searches += 1
        if self.searches > MOST_SEARCHES:
            return None
        for slot in self.slots(frame):
            pc = self.memory.word(slot)
            if pc and self.links.call(pc):
                found = Frame(pc, {RSP: slot + 8}, mark=UNSURE, gap=True)
                if self.is_called(found):
                    self.unwinder.doubt = WITHOUT_DATA
                    return found
        return None

    def is_called(self, frame: Frame) -> bool:
        """Whether a frame calls code without rules and is itself called by direct calls.

        These lead to the first function, or to code without rules. The outermost frames are not
        found so: they are on every stack.
        What an older call left on the stack fails here: the place of its return address belongs to
        another call by now, which leads elsewhere. Code without rules is believed where it calls
        through a register, as it does with functions that it was given.
        """
        call, ruled = self.links.call(frame.pc), self.row(frame)
        if not call or not ruled or self.links.is_ruled(call):
            return False
        at = frame
        for links in range(MOST_FOLLOWED):
            caller = self.called_by(at, *ruled)
            if caller is None:
                first = ruled[0].rules.get(ruled[0].return_register) == UNDEFINED
                return first and links >= OUTERMOST
            call, beyond = self.links.call(caller.pc), self.row(caller)
            if call and beyond is None and call.target is None:
                return links > 0
            if not call or self.links.goes_to(call, caller.registers, ruled[1]) is not True:
                return False
            if beyond is None:
                return True
            at, ruled = caller, beyond
        return False

    def called_by(self, frame: Frame, row: Row, function: int) -> Frame | None:
        """The caller by the rules, or by the prologue where these need an unknown register."""
        try:
            return self.unwinder.ruled(frame)
        except NeedsRegister:
            return self.by_prologue(frame, row, function)
        except End:
            return None

    def linked(self, frame: Frame) -> Frame | None:
        """What rbp leads to, if it can be a frame: higher on this stack, returning into code."""
        base, sp = frame.registers.get(RBP), frame.registers[RSP]
        if base is None or base & 7 or not sp <= base < self.memory.end:
            return None
        pc, saved = self.word(base + 8), self.memory.word(base)
        if not pc or saved is None or (saved and saved <= base):
            return None
        if not self.process.executable(pc - 1):
            return None
        registers = {RSP: base + 16, RBP: saved}
        return Frame(pc, registers, mark=UNSURE if frame.mark == UNSURE else REPAIRED)


# Ends that do not contradict a chain.
_OPEN = {"time", "no unwind data", NO_FILE, "the Go runtime switched stacks here", NOWHERE}
