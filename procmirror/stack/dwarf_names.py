"""The names of functions by their entries of debug information.

Source: DWARF 5, 2.15, 2.22, 3.3.1 and 7.26.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf_entries import Declared, Header, declared, header
from procmirror.stack.dwarf_forms import (
    FORM_LINE_STRP,
    FORM_STRP,
    FORM_STRX,
    Cursor,
)
from procmirror.stack.dwarf_inlined import (
    AT_LINKAGE_NAME,
    AT_MIPS_LINKAGE_NAME,
    AT_NAME,
    AT_ORIGIN,
    AT_SPECIFICATION,
    Values,
    read,
    reference,
)
from procmirror.stack.elf import BROKEN

MOST_UNITS = 1 << 17
_KEPT = 32  # units whose kinds of entries are kept
_MOST_ENTRY = 4096
_MOST_FOLLOWED = 8
_LINKAGE = (AT_LINKAGE_NAME, AT_MIPS_LINKAGE_NAME)
AT_STR_OFFSETS_BASE = 0x72


class _Unit(NamedTuple):
    head: Header
    kinds: dict[int, Declared]
    texts: int  # where its part of .debug_str_offsets begins


class Names:
    """The names of one file."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._units: dict[int, _Unit] = {}
        self._known: dict[int, bytes | None] = {}

    @property
    def weight(self) -> int:
        """The memory that this takes, in bytes, roughly."""
        kinds = sum(len(unit.kinds) for unit in self._units.values())
        return 40 * len(self._begins) + 1000 * kinds + 200 * len(self._known)

    def name(self, sections: Sections, entry: int) -> bytes | None:
        """The name of the function of an entry, as a linker knows it, else that of the source."""
        if entry not in self._known:
            try:
                self._known[entry] = self._name(sections, entry)
            except BROKEN:
                self._known[entry] = None
        return self._known[entry]

    def _name(self, sections: Sections, entry: int) -> bytes | None:
        plain = None
        for _ in range(_MOST_FOLLOWED):
            if not entry:
                break
            unit = self._unit(sections, entry)
            cursor = unit.head.cursor(sections.piece(b"info", entry, _MOST_ENTRY))
            values, _ = read(cursor, unit.kinds[cursor.unsigned()])
            for name in _LINKAGE:
                if name in values:
                    return _text(sections, unit, values, name)
            if AT_NAME in values and plain is None:
                plain = _text(sections, unit, values, AT_NAME)
            origin = reference(values, AT_ORIGIN, unit.head)
            entry = origin or reference(values, AT_SPECIFICATION, unit.head)
        return plain

    def _unit(self, sections: Sections, entry: int) -> _Unit:
        """The unit that an entry is in."""
        if not self._begins:
            self._begins = _begins(sections)
        begin = self._begins[bisect_right(self._begins, entry) - 1]
        if begin not in self._units:
            head = header(sections, begin)
            kinds = declared(sections, head)
            cursor = head.cursor(sections.piece(b"info", head.first, _MOST_ENTRY))
            values, _ = read(cursor, kinds[cursor.unsigned()])
            base = values.get(AT_STR_OFFSETS_BASE, (0, 8))[1]
            while len(self._units) >= _KEPT:
                self._units.pop(next(iter(self._units)))
            self._units[begin] = _Unit(head, kinds, base if isinstance(base, int) else 8)
        return self._units[begin]


def _begins(sections: Sections) -> list[int]:
    """Where units begin."""
    found: list[int] = []
    at, size = 0, sections.size(b"info")
    while at < size and len(found) < MOST_UNITS:
        found.append(at)
        head = Cursor(sections.piece(b"info", at, 12))
        length = head.initial_length()
        at += head.at + length
    return found


def _text(sections: Sections, unit: _Unit, values: Values, name: int) -> bytes | None:
    form, value = values[name]
    if isinstance(value, bytes):
        return value
    if form in FORM_STRX:
        size = unit.head.offset
        raw = sections.piece(b"str_offsets", unit.texts + size * value, size)
        value, form = int.from_bytes(raw, "little"), FORM_STRP
    section = {FORM_STRP: b"str", FORM_LINE_STRP: b"line_str"}.get(form)
    return sections.string(section, value) if section else None
