"""The functions that a compiler inlined, by the addresses of their code.

Only the entries of a unit tell them, so a unit is read once, a piece at a time, and what was found
is kept. Of split debug information (.dwo) the program has none of these entries.

Sources: DWARF 5, 2.14, 3.3.8 and 7.5.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf_entries import Declared, Header, declared, header
from procmirror.stack.dwarf_forms import FORM_ADDR, FORM_ADDRX, FORM_IMPLICIT_CONST, Cursor
from procmirror.stack.dwarf_units import Addresses
from procmirror.stack.elf import BROKEN
from procmirror.stack.expression import unsigned

MOST_UNIT = 64 << 20  # bytes of the entries of a unit
MOST_FOUND = 1 << 19  # ranges of inlined functions of a unit
MOST_DEEP = 4096
MOST_AT_ONE = 256  # functions inlined at one address, of which each has a name to be read
_LONG_CODE = 128  # of an abbreviation: it takes more than one byte
_STEPS = 2048  # entries between two looks at the clock, ranges of inlined functions among them
_MOST_ENCLOSING = 4096

TAG_LEXICAL_BLOCK, TAG_COMPILE_UNIT, TAG_INLINED, TAG_SUBPROGRAM = 0x0B, 0x11, 0x1D, 0x2E
TAG_NAMESPACE = 0x39
_ENTERED = {TAG_LEXICAL_BLOCK, TAG_COMPILE_UNIT, TAG_INLINED, TAG_NAMESPACE}
AT_NAME, AT_LOW_PC, AT_HIGH_PC, AT_ORIGIN, AT_SPECIFICATION = 0x03, 0x11, 0x12, 0x31, 0x47
AT_RANGES, AT_CALL_FILE, AT_CALL_LINE, AT_LINKAGE_NAME, AT_MIPS_LINKAGE_NAME = (
    *(0x55, 0x58, 0x59, 0x6E, 0x2007),
)
_REF_ADDR = 0x10
_LOCAL_REFERENCES = {0x11, 0x12, 0x13, 0x14, 0x15}

Values = dict[int, tuple[int, int | bytes]]


class Inlined(NamedTuple):
    """A function at a place where it is inlined: its entry, and the call in the one around it."""

    origin: int
    file: int
    line: int


class InlinedFunctions:
    """The inlined functions of one unit; complete when `steps` has ended."""

    def __init__(self) -> None:
        self._starts, self._ends, self._deep = array("Q"), array("Q"), array("H")
        self._places = array("I")
        self._calls: list[Inlined] = []
        self._order: list[int] = []
        self._highest = array("Q")
        self._unfinished = 0
        self._ranges = 0

    @property
    def weight(self) -> int:
        """The memory that this takes, in bytes, roughly."""
        return self._unfinished + 46 * len(self._starts) + 160 * len(self._calls)

    def holding(self, address: int) -> list[Inlined]:
        """The functions that are inlined at an address, innermost first.

        ValueError for more than a compiler inlines into each other.
        """
        found = []
        at = bisect_right(self._order, address, key=self._starts.__getitem__) - 1
        for place in range(at, max(-1, at - _MOST_ENCLOSING), -1):
            if self._highest[place] <= address:
                break
            one = self._order[place]
            if address < self._ends[one]:
                found.append((self._deep[one], self._calls[self._places[one]]))
        if len(found) > MOST_AT_ONE:
            raise ValueError("too many functions at an address")
        return [call for _, call in sorted(found, key=lambda one: -one[0])]

    def steps(self, sections: Sections, begin: int, addresses: Addresses) -> Iterator[None]:
        """Read the entries of the unit at an offset of .debug_info, with a stop now and then."""
        head = header(sections, begin)
        if head.end - begin > MOST_UNIT:
            raise ValueError("a unit of this size")
        raw = sections.piece(b"info", begin, head.end - begin)
        self._unfinished = len(raw)
        kinds = declared(sections, head)
        yield
        yield from self._read(raw, head, kinds, addresses)
        self._sort()
        self._unfinished = 0

    def _sort(self) -> None:
        self._order = sorted(range(len(self._starts)), key=self._starts.__getitem__)
        highest = 0
        for one in self._order:
            highest = max(highest, self._ends[one])
            self._highest.append(highest)

    def _read(
        self, raw: bytes, head: Header, kinds: dict[int, Declared], addresses: Addresses
    ) -> Iterator[None]:
        """Walk over the entries; the depth of inlining is kept for each level of the tree."""
        at, size, count, deep = head.first - head.begin, len(raw), 0, 0
        levels: list[int] = []
        while at < size:
            count += 1
            if count + self._ranges >= _STEPS:
                count = self._ranges = 0
                yield
            code, at = (raw[at], at + 1) if raw[at] < _LONG_CODE else unsigned(raw, at)
            if not code:
                if not levels:
                    return
                deep = levels.pop()
                continue
            kind, begin, inner = kinds[code], at, deep
            if kind.tag == TAG_INLINED:
                inner, at = deep + 1, self._inlined(raw, at, head, kind, addresses, deep + 1)
            else:
                at = _passed(raw, at, head, kind)
            if kind.children and kind.sibling is not None and not _is_entered(kind):
                at = _behind(raw, begin, kind.sibling)
            elif kind.children:
                levels.append(deep)
                deep = inner
                if len(levels) > MOST_DEEP:
                    raise ValueError("entries in entries without end")

    def _inlined(
        self, raw: bytes, at: int, head: Header, kind: Declared, addresses: Addresses, deep: int
    ) -> int:
        """Keep one inlined function; where its attributes end."""
        values, at = read(head.cursor(raw, at), kind)
        ranges = list(_ranges(values, addresses))
        self._ranges += len(ranges)
        if ranges:
            file, line = (_number(values, one) for one in (AT_CALL_FILE, AT_CALL_LINE))
            self._calls.append(Inlined(reference(values, AT_ORIGIN, head), file, line))
        for start, end in ranges:
            if len(self._starts) >= MOST_FOUND:
                raise ValueError("too many inlined functions")
            if start < end < 1 << 64:
                self._starts.append(start)
                self._ends.append(end)
                self._deep.append(min(deep, 65535))
                self._places.append(len(self._calls) - 1)
        return at


def _is_entered(kind: Declared) -> bool:
    return kind.tag in _ENTERED or (kind.tag == TAG_SUBPROGRAM and kind.has_code)


def _passed(raw: bytes, at: int, head: Header, kind: Declared) -> int:
    """Where the attributes of an entry end."""
    for step in kind.steps:
        if step > 0:
            at += step
        else:
            cursor = head.cursor(raw, at)
            cursor.form(-step)
            at = cursor.at
    return at


def _behind(raw: bytes, begin: int, sibling: int) -> int:
    """Where the children of an entry end, by the attribute that tells it."""
    place = begin + sibling
    beyond = int.from_bytes(raw[place : place + 4], "little")
    if beyond <= begin:
        raise ValueError("an entry that leads back")
    return beyond


def read(cursor: Cursor, kind: Declared) -> tuple[Values, int]:
    """The attributes of an entry with their forms, and where they end."""
    values: Values = {}
    for name, form, constant in kind.attributes:
        values[name] = form, constant if form == FORM_IMPLICIT_CONST else cursor.form(form)
    return values, cursor.at


def _number(values: Values, name: int) -> int:
    value = values.get(name, (0, 0))[1]
    return value if isinstance(value, int) else 0


def reference(values: Values, name: int, head: Header) -> int:
    """The offset in .debug_info of another entry that one refers to; 0 without."""
    form, value = values.get(name, (0, 0))
    if not isinstance(value, int):
        return 0
    if form in _LOCAL_REFERENCES:
        return head.begin + value
    return value if form == _REF_ADDR else 0


def _ranges(values: Values, addresses: Addresses) -> Iterable[tuple[int, int]]:
    if AT_RANGES in values:
        form, place = values[AT_RANGES]
        if not isinstance(place, int):
            return ()
        with suppress(*BROKEN):
            return addresses.ranges((form, place))
        return ()
    low, high = _number(values, AT_LOW_PC), _number(values, AT_HIGH_PC)
    form = values.get(AT_LOW_PC, (0, 0))[0]
    low = addresses.indexed(low) if form in FORM_ADDRX else low
    form = values.get(AT_HIGH_PC, (0, 0))[0]
    if form in FORM_ADDRX:
        high = addresses.indexed(high)
    elif form != FORM_ADDR:
        high += low
    return ((low, high),) if low else ()
