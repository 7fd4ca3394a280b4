"""The entries of debug information: how each is declared, and how to pass over it.

Source: DWARF 5, 7.5.1 to 7.5.3 and 7.5.6.
"""

from __future__ import annotations

from typing import NamedTuple

from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf_forms import FORM_IMPLICIT_CONST, Cursor, fixed_size

MOST_DECLARED = 1 << 16  # kinds of entries of one unit
MOST_ATTRIBUTES = 256  # of one kind
MOST_IN_ALL = 1 << 17  # attributes of all kinds of a unit: a tenth of a second
MOST_TABLE = 4 << 20
AT_SIBLING, AT_LOW_PC, AT_RANGES = 0x01, 0x11, 0x55
_TYPES, _WITH_ID = {2, 6}, {4, 5}  # DW_UT_*
_REF4 = 0x13

Attributes = tuple[tuple[int, int, int], ...]


class Declared(NamedTuple):
    """A kind of entry: its tag, and its attributes with their forms and constants.

    `steps` pass over the attributes: so many bytes, or below 0 a form that tells its own size.
    `sibling` is where four bytes tell what follows behind the children of the entry.
    """

    tag: int
    children: bool
    attributes: Attributes
    steps: tuple[int, ...]
    sibling: int | None

    @property
    def has_code(self) -> bool:
        """Whether entries of this kind have addresses."""
        return any(name in {AT_LOW_PC, AT_RANGES} for name, _, _ in self.attributes)


class Header(NamedTuple):
    """What stands before the entries of a unit.

    It begins at `begin` of .debug_info, its entries at `first`; `offset` and `address` are the
    bytes of an offset and an address.
    """

    begin: int
    end: int
    first: int
    abbreviations: int
    offset: int
    address: int
    version: int

    def cursor(self, raw: bytes, at: int = 0) -> Cursor:
        """A place in bytes of this unit."""
        cursor = Cursor(raw, at)
        cursor.offset, cursor.address = self.offset, self.address
        return cursor


def header(sections: Sections, begin: int) -> Header:
    """The header of the unit at an offset of .debug_info; ValueError for a unit of types."""
    found = header_at(Cursor(sections.piece(b"info", begin, 40)), begin)
    if found is None:
        raise ValueError("a unit without code, or of a version that is unknown")
    return found


def header_at(at: Cursor, begin: int) -> Header | None:
    """The header where a cursor stands, which is moved to the first entry and told the sizes.

    None for a unit of types, and for one of an unknown version. `begin` is its offset.
    """
    length = at.initial_length()
    end, version = begin + at.at + length, at.fixed(2)
    if not 2 <= version <= 5:
        return None
    kind = at.fixed(1) if version == 5 else 0
    if version == 5:
        at.address = at.fixed(1)
    abbreviations = at.fixed(at.offset)
    if version < 5:
        at.address = at.fixed(1)
    if kind in _TYPES or at.address not in {4, 8}:
        return None
    at.skip(8 if kind in _WITH_ID else 0)
    return Header(begin, end, begin + at.at, abbreviations, at.offset, at.address, version)


def declared(sections: Sections, head: Header) -> dict[int, Declared]:
    """The kinds of entries of a unit by their codes."""
    raw = sections.piece(b"abbrev", head.abbreviations, MOST_TABLE)
    at, found, count = Cursor(raw), dict[int, Declared](), 0
    while code := at.unsigned():
        tag, children = at.unsigned(), bool(at.fixed(1))
        attributes = tuple(_attributes(at))
        steps, sibling = _steps(attributes, head)
        found[code] = Declared(tag, children, attributes, steps, sibling)
        count += len(attributes)
        if len(found) > MOST_DECLARED or count > MOST_IN_ALL:
            raise ValueError("too many kinds of entries")
    return found


def _attributes(at: Cursor) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    while True:
        name, form = at.unsigned(), at.unsigned()
        constant = at.signed() if form == FORM_IMPLICIT_CONST else 0
        if not name and not form:
            return found
        found.append((name, form, constant))
        if len(found) > MOST_ATTRIBUTES:
            raise ValueError("too many attributes")


def _steps(attributes: Attributes, head: Header) -> tuple[tuple[int, ...], int | None]:
    """How to pass over attributes, and where among them the sibling is told."""
    steps: list[int] = []
    sibling = None
    for name, form, _ in attributes:
        size = fixed_size(form, head.offset, head.address)
        if (
            name == AT_SIBLING
            and form == _REF4
            and (not steps or (len(steps) == 1 and steps[0] > 0))
        ):
            sibling = sum(steps)
        if size is None:
            steps.append(-form)
        elif steps and steps[-1] > 0:
            steps[-1] += size
        elif size:
            steps.append(size)
    return tuple(steps), sibling
