"""The caller of a frame whose return address is in a register that the kernel does not tell.

On aarch64 a call leaves its return address in x30, and a function that calls no other need not save
it. The kernel tells of a thread neither x30 nor x29. The place in the caller is found from further
out: the next return address on the stack follows a call of the caller, and the caller's rules put
that address just where it is if the caller has called this function. If the caller has such a call
at one place only, that is its frame; of several the code does not tell which, so the frame is
missing and the next one is marked. Where the caller was itself called through a register, it is
looked for among all functions that call this one, and is unsure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from procmirror.stack import cfi
from procmirror.stack.callers import callers
from procmirror.stack.cfi_program import Row
from procmirror.stack.code import WORD, Call
from procmirror.stack.code_aarch64 import PROLOGUE, calls, depth
from procmirror.stack.frames import RBP, REPAIRED, RSP, UNSURE, Frame
from procmirror.stack.repair import MOST_CODE, MOST_SCANNED, MOST_SEARCHES, SEARCHED, SEVERAL
from procmirror.stack.repair_unruled import UnruledRepairs

if TYPE_CHECKING:
    from procmirror.stack.unwind import Unwinder

UNTOLD = "the kernel does not tell the link register: a frame is missing"


class Site(NamedTuple):
    """A place in a function that has called another, and the frame that the function has there.

    `slot` is where the return address of that frame is. It is `sure` if the call names the other
    function, SP has not moved since the beginning of the frame, and no return address of a call
    through a register is nearer.
    """

    function: int
    slot: int
    frame: Frame
    sure: bool


class Place(NamedTuple):
    """A place in a function to which a call returns; `named`: the call names the other function."""

    pc: int
    row: Row
    named: bool


class LinkedRepairs(UnruledRepairs):
    """The repairs of one stack of a processor with a link register."""

    def __init__(self, unwinder: Unwinder) -> None:
        super().__init__(unwinder)
        self._callers: dict[int, list[int]] = {}
        self._calling: dict[tuple[int, int], list[Place]] = {}

    def slot(self, frame: Frame, caller: Frame) -> int:
        """Where the return address of a frame was, whose caller is known."""
        ruled = self.row(frame)
        saved = ruled and ruled[0].rules.get(ruled[0].return_register)
        return caller.registers[RSP] + (saved.value if saved and saved.kind == "at" else -8)

    def by_call(self, frame: Frame) -> Frame | None:
        """The caller by the call that it made."""
        ruled = self.row(frame)
        if ruled is None:
            return None
        row, function = ruled
        if row.return_register in row.rules:
            return self.by_search(frame, row, function)
        self.searches += 1
        cfa = self.unwinder.cfa(row, frame.registers)
        if self.searches > MOST_SEARCHES or cfa is None:
            return None
        known = self.unwinder.restored(row, cfa, frame.registers)
        direct = list(self.sites(known, function, through_register=False))
        return self.chosen(direct or list(self.sites(known, function, through_register=True)))

    def chosen(self, sites: list[Site]) -> Frame | None:
        """The frame of the only site; its caller's where all sites have the same."""
        sites = [site for site in sites if self.chain(site.frame).holds] or sites
        sites = [site for site in sites if site.sure] or sites
        sites = [site for site in sites if self.fits(site.frame)] or sites
        if not sites:
            self.reason = UNTOLD
            return None
        mark = REPAIRED if sites[0].sure else UNSURE
        if len(sites) == 1:
            self.unwinder.doubt = self.unwinder.doubt if sites[0].sure else SEARCHED
            return sites[0].frame._replace(mark=mark)
        return self.beyond_sites([site.frame for site in sites], mark)

    def fits(self, frame: Frame) -> bool:
        """Whether SP is in the caller's frame where its beginning moves it."""
        outer = self.outer(frame)
        ruled = self.row(outer) if outer else None
        if outer is None or ruled is None or ruled[0].register != RBP:
            return outer is not None
        cfa = self.unwinder.cfa(ruled[0], outer.registers)
        code = self.process.code(ruled[1], PROLOGUE)
        return cfa is not None and cfa - depth(code) == outer.registers[RSP]

    def beyond_sites(self, frames: list[Frame], mark: str) -> Frame | None:
        """The frame that called each of these, if it is the same."""
        outer = [found for frame in frames if (found := self.outer(frame))]
        if len(outer) != len(frames) or len({(one.pc, one.registers[RSP]) for one in outer}) != 1:
            self.reason = SEVERAL
            return None
        self.unwinder.doubt = UNTOLD
        same = set.intersection(*(set(one.registers.items()) for one in outer))
        return Frame(outer[0].pc, dict(same), mark=mark, gap=True)

    def sites(
        self, known: dict[int, int], function: int, *, through_register: bool
    ) -> Iterator[Site]:
        """The places above SP from which `function` may have been called.

        `known` are the registers of its caller, which was itself called `through_register`, or by a
        call that names it.
        """
        nearest, sp = True, known[RSP]
        for slot in range((sp + 7) & -8, min(self.memory.end - 7, sp + MOST_SCANNED), 8):
            call = self.links.call(self.word(slot))
            if call is None:
                continue
            nearest = nearest and call.target is not None
            if through_register is not (call.target is None):
                continue
            found = [
                site if nearest else site._replace(sure=False)
                for entered in self.timed(self.entered(call, function))
                for place in self.calling(entered, function)
                if (site := self.at_place(entered, place, known, slot))
            ]
            yield from found
            if any(site.sure for site in found):
                return

    def timed(self, functions: list[int]) -> Iterator[int]:
        """These functions, each of which may have thousands of calls; `End` if the time is over."""
        for one in functions:
            self.unwinder.check_time()
            yield one

    def entered(self, call: Call, function: int) -> list[int]:
        """The functions that a call may lead to, of those that may call `function`."""
        if call.target is not None:
            return self.links.entered(call.target)
        if function not in self._callers:
            self._callers[function] = list(callers(self.process, function))
        return self._callers[function]

    def calling(self, caller: int, function: int) -> list[Place]:
        """The places in a function to which calls of another may return."""
        key = caller, function
        if key not in self._calling:
            self._calling[key] = list(self._searched(caller, function))
        return self._calling[key]

    def _searched(self, caller: int, function: int) -> Iterator[Place]:
        image = self.process.image(caller)
        whole = image and cfi.row(image.elf, caller - image.bias)
        if not image or not whole or whole.start + image.bias != caller:
            return
        code = self.process.code(caller, min(whole.end - whole.start, MOST_CODE))
        for pc, call in calls(code, caller):
            if call.target is not None and not self.links.leads(call.target, function):
                continue
            if row := cfi.row(image.elf, pc - 1 - image.bias):
                yield Place(pc, row, call.target is not None)

    def at_place(self, caller: int, place: Place, known: dict[int, int], slot: int) -> Site | None:
        """The frame of a caller, if its rules put its return address at `slot`."""
        row = place.row
        saved = row.rules.get(row.return_register)
        if saved is None or saved.kind != "at" or row.program:
            return None
        cfa, registers, sure = (slot - saved.value) & WORD, dict(known), place.named
        if row.register == RBP:
            code = self.process.code(caller, min(place.pc - caller, PROLOGUE))
            sure = sure and cfa - depth(code) == known[RSP]
            registers.setdefault(RBP, (cfa - row.offset) & WORD)
        if registers.get(row.register, -1) + row.offset != cfa:
            return None
        return Site(caller, slot, Frame(place.pc, registers, mark=REPAIRED), sure)
