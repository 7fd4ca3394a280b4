"""The call frame information that debuggers get where a program has no .eh_frame: .debug_frame.

Source: DWARF 5, 6.4.1 and 7.24. Addresses are the file's own, and there is no search table: the
section is walked once.
"""

from __future__ import annotations

from bisect import bisect_right

from procmirror.stack import dwarf
from procmirror.stack.architecture import Architecture
from procmirror.stack.cfi_program import REGISTERS, Cie, Row, State, row_of
from procmirror.stack.debug_sections import content
from procmirror.stack.elf import Elf, MalformedError, remembered
from procmirror.stack.expression import signed, unsigned

MOST_WALKED = 16 << 20
MOST_ENTRIES = 1 << 18
CIE_ID = b"\xff\xff\xff\xff"
_ADDRESS = 8


class _Entries:
    """The functions of a .debug_frame, by address."""

    def __init__(self, raw: bytes, architecture: Architecture) -> None:
        self.raw, self.architecture = raw, architecture
        self.cies: dict[int, Cie] = {}
        found, at = [], 0
        for _ in range(MOST_ENTRIES):
            length = int.from_bytes(raw[at : at + 4], "little")
            if length == dwarf.DWARF_64 or length < 4 or at + 4 + length > len(raw):
                break
            if raw[at + 4 : at + 8] != CIE_ID:
                start, size = self._range(at)
                found.append((start, start + size, at))
            at += 4 + length
        found.sort()
        self.found = found
        self.starts = [start for start, _, _ in found]
        self.weight = len(raw) + 150 * len(found)

    def _range(self, at: int) -> tuple[int, int]:
        start, size = self.raw[at + 8 : at + 16], self.raw[at + 16 : at + 24]
        return int.from_bytes(start, "little"), int.from_bytes(size, "little")

    def cie(self, at: int) -> Cie:
        """The common part that the entry at `at` names."""
        offset = int.from_bytes(self.raw[at + 4 : at + 8], "little")
        if offset not in self.cies:
            length = int.from_bytes(self.raw[offset : offset + 4], "little")
            self.cies[offset] = _parsed(self.raw[offset : offset + 4 + length])
        return self.cies[offset]

    def row(self, address: int) -> Row | None:
        """The rules for an address; None outside every function."""
        before = bisect_right(self.starts, address) - 1
        if before < 0:
            return None
        start, end, at = self.found[before]
        if address >= end:
            return None
        cie, length = self.cie(at), int.from_bytes(self.raw[at : at + 4], "little")
        state = State(cie)
        state.run(cie.program, 0, 0)
        state.initial = dict(state.rules)
        state.run(self.raw[at + 8 + 2 * _ADDRESS : at + 4 + length], start, address)
        return row_of(state, start, end, self.architecture)


def _parsed(raw: bytes) -> Cie:
    version = raw[8]
    if raw[4:8] != CIE_ID or version not in {1, 3, 4} or raw[9]:
        raise MalformedError("not a CIE of .debug_frame")
    at = 10
    if version == 4:
        if raw[at : at + 2] != bytes([_ADDRESS, 0]):
            raise MalformedError("addresses of this size")
        at += 2
    code_factor, at = unsigned(raw, at)
    data_factor, at = signed(raw, at)
    return_register, at = (raw[at], at + 1) if version == 1 else unsigned(raw, at)
    if return_register >= REGISTERS:
        raise MalformedError("an unknown CIE")
    return Cie(
        code_factor,
        data_factor,
        return_register,
        encoding=dwarf.DW_EH_PE_absptr,
        signal=False,
        augmented=False,
        program=raw[at:],
    )


@remembered
def entries(elf: Elf) -> _Entries | None:
    """What .debug_frame holds; None in a file without one."""
    section = elf.by_name.get(b".debug_frame")
    if section is None or elf.narrow:
        return None
    return _Entries(content(elf, section, MOST_WALKED), elf.architecture)
