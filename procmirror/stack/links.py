"""Whether a call instruction leads to a function: the proof that one frame called another.

A direct call names its target. An indirect one does so if the table entry that it read is
unchanged, or if it called through a register that its callee preserves. A target may be an entry of
the procedure linkage table, or jump on to other functions (tail calls, parts that the compiler
moved away).
"""

from __future__ import annotations

from procmirror.stack import cfi
from procmirror.stack.code import Call
from procmirror.stack.elf import BROKEN, Elf, remembered
from procmirror.stack.process import Process

MOST_CODE = 16 << 10  # of a function that is searched for jumps
MOST_CALLS = 1 << 14  # of one file that are remembered
_ENTRY = 16  # bytes of an entry of the procedure linkage table
MOST_JUMPED = 64  # functions that one call is followed through


class _Jumps(dict[int, "frozenset[int] | None"]):
    @property
    def weight(self) -> int:
        return len(self) * 400


@remembered
def _jumps(_: Elf) -> _Jumps:
    return _Jumps()


class _Calls(dict[int, "Call | None"]):
    """The calls of one file by the address that they return to, in the file's own numbering."""

    @property
    def weight(self) -> int:
        return len(self) * 250

    def before(self, elf: Elf, address: int) -> Call | None:
        if address not in self:
            if len(self) >= MOST_CALLS:
                self.clear()
            instructions = elf.architecture.instructions
            size = instructions.LONGEST_CALL
            try:
                code = elf.at(elf.offset(address - size), size)
            except BROKEN:
                code = b""
            self[address] = instructions.call_before(code, address)
        return self[address]


@remembered
def _calls(_: Elf) -> _Calls:
    return _Calls()


class Links:
    """The calls in the code of one process, for one request.

    `followed`: what was found of callers, by an address in the function that is called and the one
    that it returns to.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.followed: dict[tuple[int, int], bool | None] = {}
        self.instructions = process.architecture.instructions
        self._leads: dict[tuple[int, int], bool | None] = {}

    def call(self, pc: int | None) -> Call | None:
        """The call that `pc` returns from, if it is a return address at all."""
        if not pc or not self.process.executable(pc - 1):
            return None
        image = self.process.image(pc - 1)
        known = image and _calls(image.elf)
        if image is None or known is None:
            size = self.instructions.LONGEST_CALL
            return self.instructions.call_before(self.process.code(pc - size, size), pc)
        found = known.before(image.elf, pc - image.bias)
        return found and found.moved(image.bias)

    def stub(self, start: int) -> int | None:
        """The address of the word that a stub at `start` jumps through; None for other code."""
        code = self.process.code(start, self.instructions.STUB)
        return self.instructions.stub_slot(code, start)

    def goes_to(self, call: Call, registers: dict[int, int], function: int) -> bool | None:
        """Whether a call goes to `function`; None if that is unknown.

        `registers` are the known registers of the caller.
        """
        if call.target is not None:
            return self.leads(call.target, function)
        where = None
        if call.slot is not None:
            where = self.process.slot(call.slot)
        elif call.register is not None:
            where = registers.get(call.register)
        return (where is not None and self.leads(where, function)) or None

    def is_ruled(self, call: Call) -> bool:
        """Whether a direct call goes to a function that has rules, stubs of tables aside."""
        if call.target is None:
            return False
        slot = self.stub(call.target)
        target = call.target if slot is None else self.process.slot(slot)
        return target is not None and self.process.function(target) is not None

    def leads(self, start: int, function: int) -> bool | None:
        """Whether code at `start` is `function` or jumps there; None if that is unknown."""
        if start == function:
            return True
        key = start, function
        if key not in self._leads:
            self._leads[key] = self._followed(start, function)
        return self._leads[key]

    def entered(self, start: int) -> list[int]:
        """The functions that a call of `start` may lead to, itself first."""
        found = [start]
        for one in found:
            found += sorted((self._targets(one) or frozenset()) - {*found})
            if len(found) > MOST_JUMPED:
                break
        return found[:MOST_JUMPED]

    def _followed(self, start: int, function: int) -> bool | None:
        waiting, seen, certain = [start], {start}, True
        while waiting and len(seen) <= MOST_JUMPED:
            targets = self._targets(waiting.pop())
            if targets is None:
                certain = False
                continue
            if function in targets:
                return True
            waiting += targets - seen
            seen |= targets
        return False if certain and not waiting else None

    def _targets(self, start: int) -> frozenset[int] | None:
        """The targets of jumps in the function at `start`; None if one of them is unknown."""
        slot = self.stub(start)
        if slot is not None:
            where = self.process.slot(slot)
            return None if where is None else frozenset([where])
        image = self.process.image(start)
        known = image and _jumps(image.elf)
        if image is None or known is None:
            return None
        own = start - image.bias
        if own not in known:
            known[own] = self._outward(image.elf, own)
        found = known[own]
        return found and frozenset(target + image.bias for target in found)

    def _outward(self, elf: Elf, own: int) -> frozenset[int] | None:
        """The jumps of a function out of itself to the beginnings of others."""
        row = cfi.row(elf, own)
        if row is None or row.start != own or row.end - own > MOST_CODE:
            return None
        try:
            code = elf.at(elf.offset(own), row.end - own)
        except BROKEN:
            return None
        if self.instructions.jumps_anywhere(code):
            return None
        outside = {
            target for target in self.instructions.jumps(code, own) if not own <= target < row.end
        }
        return frozenset(target for target in outside if self._begins(elf, target))

    def _begins(self, elf: Elf, target: int) -> bool:
        """Whether a function, or an entry of the procedure linkage table, begins here."""
        row = cfi.row(elf, target)
        if row is not None:
            return row.start == target or target % _ENTRY == 0
        try:
            code = elf.at(elf.offset(target), self.instructions.STUB)
        except BROKEN:
            return False
        return self.instructions.stub_slot(code, target) is not None
