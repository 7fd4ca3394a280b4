"""The units of debug information, by the addresses of their code.

.debug_aranges lists them where a compiler wrote it; the other units tell their addresses in their
first entry. Of split debug information (.dwo) the unit that stays in the program is read: the lines
are there.

Sources: DWARF 5, 6.1.2, 7.5.1 and 7.21; DWARF 2 to 4 alike.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf import DWARF_64
from procmirror.stack.dwarf_entries import header_at
from procmirror.stack.dwarf_forms import (
    FORM_ADDR,
    FORM_ADDRX,
    FORM_IMPLICIT_CONST,
    FORM_LINE_STRP,
    FORM_RNGLISTX,
    FORM_STRP,
    Cursor,
)
from procmirror.stack.dwarf_ranges import MOST_BYTES, address, listed, pairs
from procmirror.stack.elf import BROKEN, Elf

MOST_ROWS = 1 << 19  # ranges of all units of a file
_MOST_ENTRY = 4096  # bytes of a unit's header and first entry
_MOST_ABBREVIATIONS = 1 << 14
_ENCLOSING = 16
_SHORT = 2048  # bytes of a list of ranges as they usually are
EXECINSTR = 4  # SHF_EXECINSTR
_PARTS = 4  # of .debug_aranges, or units, between two looks at the clock

AT_STMT_LIST, AT_LOW_PC, AT_HIGH_PC, AT_COMP_DIR, AT_RANGES = 0x10, 0x11, 0x12, 0x1B, 0x55
AT_ADDR_BASE, AT_RNGLISTS_BASE = 0x73, 0x74
AT_GNU_RANGES_BASE, AT_GNU_ADDR_BASE = 0x2132, 0x2133
# The header of a set of .debug_aranges, with offsets of four bytes and of eight.
_SET, _WIDE_SET = struct.Struct("<IHIBB"), struct.Struct("<4xQHQBB")


class Addresses(NamedTuple):
    """What turns attributes into addresses: the form and value of a list of ranges, an index."""

    ranges: Callable[[tuple[int, int]], list[tuple[int, int]]]
    indexed: Callable[[int], int]


class Unit(NamedTuple):
    """Where a unit's lines are in .debug_line, and the directory of its compilation."""

    lines: int
    directory: bytes


class _Entry(NamedTuple):
    """The first entry of a unit: its attributes with their forms and values."""

    version: int
    values: dict[int, tuple[int, int | bytes]]
    wide: bool

    def number(self, attribute: int, default: int = 0) -> int:
        _, value = self.values.get(attribute, (0, default))
        return value if isinstance(value, int) else default


class Units:
    """The units of one file; it is filled step by step."""

    def __init__(self, elf: Elf) -> None:
        # Segments of a separate debug file are empty; its sections have their sizes.
        code = [one for one in elf.sections if one.flags & EXECINSTR]
        code.sort(key=lambda one: -one.size)
        self._code = [(one.address, one.address + one.size) for one in code]
        self._starts = array("Q")
        self._ends = array("Q")
        self._offsets = array("Q")
        self._order = array("I")
        self._listed: set[int] = set()
        self._abbreviations: dict[tuple[int, int], list[tuple[int, int, int]]] = {}

    @property
    def weight(self) -> int:
        """The memory that this takes, in bytes, roughly."""
        return 28 * len(self._starts) + 80 * len(self._listed)

    def holding(self, address: int) -> int | None:
        """The offset in .debug_info of the unit with this address, as far as units are known."""
        last = bisect_right(self._order, address, key=self._starts.__getitem__)
        for at in reversed(self._order[max(0, last - _ENCLOSING) : last]):
            if address < self._ends[at]:
                return self._offsets[at]
        return None

    def steps(self, sections: Sections) -> Iterator[None]:
        """Read .debug_aranges, and after it the units that it does not list.

        It stops where the clock may be looked at, after the former and now and then.
        """
        yield from self._read_listed(sections)
        self._sort()
        yield
        yield from self._read_others(sections)
        self._sort()

    def _sort(self) -> None:
        self._order = array("I", sorted(range(len(self._starts)), key=self._starts.__getitem__))
        self._abbreviations.clear()

    def _add(self, ranges: Iterable[tuple[int, int]], unit: int) -> None:
        """Add the ranges that are code of the program; what a linker dropped is at 0 or nowhere."""
        for start, end in ranges:
            if len(self._starts) >= MOST_ROWS:
                raise ValueError("too many ranges")
            if 0 < start < end < 1 << 64 and self.is_code(start):
                self._starts.append(start)
                self._ends.append(end)
                self._offsets.append(unit)

    def is_code(self, address: int) -> bool:
        """Whether the file has code at an address."""
        return any(start <= address < end for start, end in self._code)

    def _read_listed(self, sections: Sections) -> Iterator[None]:
        raw = sections.piece(b"aranges", 0, min(sections.size(b"aranges"), 16 * MOST_ROWS))
        at = 0
        for count in range(MOST_ROWS):
            if at + _SET.size > len(raw):
                return
            length, _, unit, size, segment = _SET.unpack_from(raw, at)
            head, end = _SET.size, at + 4 + length
            if length == DWARF_64:
                length, _, unit, size, segment = _WIDE_SET.unpack_from(raw, at)
                head, end = _WIDE_SET.size, at + 12 + length
            if size == 8 and not segment:
                first = at + (head + 15 & -16)
                whole = max(0, min(end, len(raw)) - first) // 16 * 16
                words = array("Q", raw[first : first + whole])
                spans = zip(words[::2], words[1::2], strict=True)
                self._add([(start, start + span) for start, span in spans], unit)
                self._listed.add(unit)
            at = end
            if count % _PARTS == 0:
                yield

    def _read_others(self, sections: Sections) -> Iterator[None]:
        offset, size = 0, sections.size(b"info")
        for count in range(MOST_ROWS):
            if offset >= size:
                return
            head = Cursor(sections.piece(b"info", offset, 12))
            length = head.initial_length()
            if offset not in self._listed:
                with suppress(*BROKEN):  # the others may be whole
                    self._add(self._ranges(sections, offset), offset)
            offset += head.at + length
            if count % _PARTS == 0:
                yield

    def unit(self, sections: Sections, offset: int) -> Unit | None:
        """The unit at an offset of .debug_info; None if it has no lines."""
        entry = self._entry(sections, offset)
        if entry is None or AT_STMT_LIST not in entry.values:
            return None
        return Unit(entry.number(AT_STMT_LIST), _directory(sections, entry))

    def addresses(self, sections: Sections, offset: int) -> Addresses:
        """What turns attributes of the entries of a unit into addresses."""
        entry = self._entry(sections, offset)
        if entry is None:
            raise ValueError("a unit without code")
        bases = _bases(entry)

        def ranges(place: tuple[int, int]) -> list[tuple[int, int]]:
            found = list(_of_list(sections, entry, place, bases, _SHORT))
            if len(found) * 16 < _SHORT // 2:
                return found
            return list(_of_list(sections, entry, place, bases, MOST_BYTES))

        return Addresses(ranges, lambda index: address(sections, bases, index))

    def _entry(self, sections: Sections, offset: int) -> _Entry | None:
        """The first entry of a unit; None for a unit of types."""
        at = Cursor(sections.piece(b"info", offset, _MOST_ENTRY))
        head = header_at(at, offset)
        if head is None:
            return None
        values: dict[int, tuple[int, int | bytes]] = {}
        for name, form, constant in self._abbreviation(sections, head.abbreviations, at.unsigned()):
            values[name] = form, constant if form == FORM_IMPLICIT_CONST else at.form(form)
        return _Entry(head.version, values, head.offset == 8)

    def _abbreviation(
        self, sections: Sections, offset: int, wanted: int
    ) -> list[tuple[int, int, int]]:
        """The attributes of an abbreviation, with their forms and the constants of these."""
        key = offset, wanted
        if key not in self._abbreviations:
            try:
                found = _declared(sections.piece(b"abbrev", offset, 512), wanted)
            except (IndexError, ValueError):
                raw = sections.piece(b"abbrev", offset, _MOST_ABBREVIATIONS)
                found = _declared(raw, wanted)
            self._abbreviations[key] = found
        return self._abbreviations[key]

    def _ranges(self, sections: Sections, offset: int) -> Iterator[tuple[int, int]]:
        """The addresses of a unit by its first entry."""
        entry = self._entry(sections, offset)
        if entry is None or AT_STMT_LIST not in entry.values:
            return iter(())
        bases = _bases(entry)
        low = _low(sections, entry, bases)
        if AT_RANGES in entry.values:
            place = entry.values[AT_RANGES][0], entry.number(AT_RANGES)
            return _of_list(sections, entry, place, bases, MOST_BYTES)
        form, high = entry.values.get(AT_HIGH_PC, (0, 0))
        if not isinstance(high, int):
            return iter(())
        if form in FORM_ADDRX:
            high = address(sections, bases, high)
        return iter([(low, high if form == FORM_ADDR or form in FORM_ADDRX else low + high)])


def _bases(entry: _Entry) -> int:
    """Where the unit's part of .debug_addr begins."""
    if entry.version == 5:
        return entry.number(AT_ADDR_BASE, 8)
    return entry.number(AT_GNU_ADDR_BASE)


def _low(sections: Sections, entry: _Entry, bases: int) -> int:
    form, _ = entry.values.get(AT_LOW_PC, (0, 0))
    low = entry.number(AT_LOW_PC)
    return address(sections, bases, low) if form in FORM_ADDRX else low


def _of_list(
    sections: Sections, entry: _Entry, place: tuple[int, int], bases: int, most: int
) -> Iterator[tuple[int, int]]:
    """The ranges of a list, which an attribute tells by form and value."""
    (form, at), low = place, _low(sections, entry, bases)
    if entry.version < 5:
        # Of split debug information, the list of the unit itself counts from the section.
        return pairs(sections, at + entry.number(AT_GNU_RANGES_BASE), low, most)
    if form == FORM_RNGLISTX:
        size = 8 if entry.wide else 4
        base = entry.number(AT_RNGLISTS_BASE, 20 if entry.wide else 12)
        at = base + Cursor(sections.piece(b"rnglists", base + size * at, size)).fixed(size)
    return listed(sections, at, low, bases, most)


def _directory(sections: Sections, entry: _Entry) -> bytes:
    form, value = entry.values.get(AT_COMP_DIR, (0, b""))
    if isinstance(value, bytes):
        return value
    section = {FORM_STRP: b"str", FORM_LINE_STRP: b"line_str"}.get(form)
    return sections.string(section, value) if section else b""


def _declared(raw: bytes, wanted: int) -> list[tuple[int, int, int]]:
    """The attributes of the abbreviation with this code."""
    at = Cursor(raw)
    while code := at.unsigned():
        at.unsigned()
        at.skip(1)
        found = []
        while True:
            name, form = at.unsigned(), at.unsigned()
            constant = at.signed() if form == FORM_IMPLICIT_CONST else 0
            if not name and not form:
                break
            found.append((name, form, constant))
        if code == wanted:
            return found
    raise ValueError("an abbreviation that is not declared")
