"""Call frame information: how each instruction's frame leads to its caller's.

.eh_frame, .eh_frame_hdr.

Format: DWARF 5, 6.4, with the changes of the Linux Standard Base, "Exception Frames". The header's
table is searched in place; a program without one (static linking leaves it out) has its .eh_frame
walked once.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import NamedTuple

from procmirror.stack import debug_frame, dwarf
from procmirror.stack.cfi_program import REGISTERS, Cie, Row, State, row_of
from procmirror.stack.elf import BROKEN, Elf, MalformedError, remembered
from procmirror.stack.expression import WORD, signed, unsigned

MOST_ENTRIES = 1 << 18  # of an .eh_frame that has to be walked: a quarter of a second
MOST_WALKED = 16 << 20
MOST_OF_ENTRY = 1 << 16
MOST_CIES = 4096


class Rows(dict[int, Row | None]):
    """The rows asked for so far, by address."""

    @property
    def weight(self) -> int:
        """About how many bytes they take."""
        return len(self) * 1500


@remembered
def _rows(_: Elf) -> Rows:
    return Rows()


def row(elf: Elf, address: int) -> Row | None:
    """The rules for the instruction at the file's own `address`; None without data for it."""
    rows = _rows(elf)
    assert rows is not None
    if address not in rows:
        try:
            rows[address] = _row(elf, address)
        except BROKEN:
            rows[address] = None
    return rows[address]


def _row(elf: Elf, address: int) -> Row | None:
    table, walked = _search_table(elf), None
    if table is None:
        walked = _walked(elf)
    at = table.find(elf, address) if table else walked.find(address) if walked else None
    found = None if at is None else _interpreted(elf, at, address)
    if found is None and (entries := debug_frame.entries(elf)):
        return entries.row(address)
    return found


class _SearchTable(NamedTuple):
    """The sorted table of .eh_frame_hdr: 32-bit pairs, relative to the header."""

    base: int
    offset: int
    entries: int

    def find(self, elf: Elf, address: int) -> int | None:
        low, high, wanted = 0, self.entries, address - self.base
        while low < high:
            middle = (low + high) // 2
            if int.from_bytes(elf.at(self.offset + 8 * middle, 4), "little", signed=True) <= wanted:
                low = middle + 1
            else:
                high = middle
        if not low:
            return None
        entry = int.from_bytes(elf.at(self.offset + 8 * low - 4, 4), "little", signed=True)
        return elf.offset(self.base + entry)


@remembered
def _search_table(elf: Elf) -> _SearchTable | None:
    header = elf.frame_header
    if header is None or header.size < 12:
        return None
    version, pointer, count_encoding, table_encoding = elf.at(header.offset, 4)
    expected = (1, dwarf.DW_EH_PE_udata4, dwarf.DW_EH_PE_udata4, _TABLE_ENCODING)
    if (version, pointer & 7, count_encoding, table_encoding) != expected:
        return None
    (count,) = struct.unpack("<I", elf.at(header.offset + 8, 4))
    if not 0 < count <= (header.size - 12) // 8:
        return None
    return _SearchTable(header.address, header.offset + 12, count)


class _Walked:
    """The entries of an .eh_frame without a search table."""

    def __init__(self, found: list[tuple[int, int]]) -> None:
        found.sort()
        self._starts = [start for start, _ in found]
        self._offsets = [offset for _, offset in found]
        self.weight = 100 * len(found)

    def find(self, address: int) -> int | None:
        at = bisect_right(self._starts, address) - 1
        return self._offsets[at] if at >= 0 else None


@remembered
def _walked(elf: Elf) -> _Walked | None:
    section = elf.by_name.get(b".eh_frame")
    if section is None or section.size > MOST_WALKED:
        return None
    raw = elf.bulk(section.offset, section.size)
    found, at = [], 0
    for _ in range(MOST_ENTRIES):
        if at + 8 > len(raw):
            break
        length, back = struct.unpack_from("<II", raw, at)
        if length == dwarf.DWARF_64:
            break
        if length and back:
            offset = section.offset + at
            encoding = _cie(elf, offset + 4 - back).encoding
            found.append((_begin(elf, encoding, raw, at + 8, section.address)[0], offset))
        at += 4 + length
    return _Walked(found)


# Bytes of an address by its form; the forms of variable length are not used for code.
_FORM_SIZES = {
    dwarf.DW_EH_PE_absptr: 8,
    dwarf.DW_EH_PE_udata4: 4,
    dwarf.DW_EH_PE_udata8: 8,
    dwarf.DW_EH_PE_sdata4: 4,
    dwarf.DW_EH_PE_sdata8: 8,
}
# What every linker writes: a 4-byte pointer to .eh_frame, a 4-byte count, and a table of signed
# 4-byte numbers that count from the header.
_TABLE_ENCODING = dwarf.DW_EH_PE_datarel | dwarf.DW_EH_PE_sdata4


def _begin(elf: Elf, encoding: int, raw: bytes, at: int, base: int) -> tuple[int, int, int]:
    """An FDE's first address, its length, and where they end in `raw`.

    `base` is the address of `raw` itself.
    """
    size = _size(elf, _FORM_SIZES.get(encoding & dwarf.EH_PE_FORM), encoding)
    counts_from = encoding & ~dwarf.EH_PE_FORM
    if size is None or counts_from not in {dwarf.DW_EH_PE_absptr, dwarf.DW_EH_PE_pcrel}:
        raise MalformedError("an address encoding that code does not use")
    is_signed = bool(encoding & dwarf.EH_PE_SIGNED)
    first = int.from_bytes(raw[at : at + size], "little", signed=is_signed)
    if counts_from == dwarf.DW_EH_PE_pcrel:
        first = first + base + at & (0xFFFFFFFF if elf.narrow else WORD)
    return first, int.from_bytes(raw[at + size : at + 2 * size], "little"), at + 2 * size


def _size(elf: Elf, size: int | None, encoding: int) -> int | None:
    """The bytes of an address: those of a whole one by the file's class."""
    whole = encoding & dwarf.EH_PE_FORM == dwarf.DW_EH_PE_absptr
    return 4 if elf.narrow and whole else size


def _entry(elf: Elf, offset: int) -> bytes:
    """A whole CIE or FDE, with its length field."""
    (length,) = struct.unpack("<I", elf.at(offset, 4))
    if not 8 <= length <= MOST_OF_ENTRY:
        raise MalformedError("the length of an entry")
    return elf.at(offset, 4 + length)


class _Cies(dict[int, Cie]):
    @property
    def weight(self) -> int:
        return len(self) * 500


@remembered
def _cies(_: Elf) -> _Cies:
    return _Cies()


def _cie(elf: Elf, offset: int) -> Cie:
    cies = _cies(elf)
    assert cies is not None
    found = cies.get(offset)
    if found is None:
        if len(cies) >= MOST_CIES:
            raise MalformedError("too many CIEs")
        found = cies[offset] = _parsed_cie(elf, _entry(elf, offset))
    return found


# Bytes of the pointer to a personality routine by the low bits of its form.
_POINTER_SIZES = {
    dwarf.DW_EH_PE_absptr: 8,
    dwarf.DW_EH_PE_udata2: 2,
    dwarf.DW_EH_PE_udata4: 4,
    dwarf.DW_EH_PE_udata8: 8,
}


def _parsed_cie(elf: Elf, raw: bytes) -> Cie:
    if raw[4:8] != b"\0\0\0\0" or raw[8] not in {1, 3}:
        raise MalformedError("not a CIE")
    end = raw.index(b"\0", 9)
    augmentation = raw[9:end]
    code_factor, at = unsigned(raw, end + 1)
    data_factor, at = signed(raw, at)
    return_register, at = (raw[at], at + 1) if raw[8] == 1 else unsigned(raw, at)
    if augmentation[:1] not in {b"", b"z"} or return_register >= REGISTERS:
        raise MalformedError("an unknown CIE")
    encoding = 0
    program = at
    if augmentation:
        size, at = unsigned(raw, at)
        program = at + size
    for letter in augmentation[1:]:
        if letter == ord("R"):
            encoding = raw[at]
        if letter == ord("P"):
            at += _size(elf, _POINTER_SIZES[raw[at] & 7], raw[at]) or 0
        at += letter in b"RPL"
    return Cie(
        code_factor,
        data_factor,
        return_register,
        encoding,
        b"S" in augmentation,
        bool(augmentation),
        raw[program:],
    )


def _interpreted(elf: Elf, offset: int, address: int) -> Row | None:
    """The row of the FDE at `offset` for `address`, if the FDE really contains it."""
    raw = _entry(elf, offset)
    back = int.from_bytes(raw[4:8], "little")
    cie = _cie(elf, offset + 4 - back) if back else None
    segment = next((one for one in elf.loads if one.offset <= offset < one.offset + one.size), None)
    if cie is None or segment is None:
        raise MalformedError("not an FDE")
    start, length, at = _begin(elf, cie.encoding, raw, 8, offset - segment.offset + segment.address)
    if not start <= address < start + length:
        return None
    if cie.augmented:
        size, at = unsigned(raw, at)
        at += size
    state = State(cie)
    state.run(cie.program, 0, 0)
    state.initial = dict(state.rules)
    state.run(raw[at:], start, address)
    return row_of(state, start, start + length, elf.architecture)
