"""Values in DWARF's sections by their form.

Source: DWARF 5, 7.5.6; the forms DW_FORM_GNU_* are those of GCC's split and shared debug
information.
"""

from __future__ import annotations

from procmirror.stack.dwarf import DWARF_64
from procmirror.stack.expression import signed, unsigned

FORM_STRING, FORM_STRP, FORM_LINE_STRP, FORM_ADDR = 0x08, 0x0E, 0x1F, 0x01
FORM_IMPLICIT_CONST, FORM_INDIRECT, FORM_RNGLISTX = 0x21, 0x16, 0x23
FORM_ADDRX = frozenset([0x1B, *range(0x29, 0x2D), 0x1F01])
FORM_STRX = frozenset([0x1A, *range(0x25, 0x29), 0x1F02])
_SDATA, _SIZED_BLOCKS = 0x0D, {0x0A: 1, 0x03: 2, 0x04: 4}
_LEB_BLOCKS = frozenset([0x09, 0x18])
_LEBS = frozenset([0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23, 0x1F01, 0x1F02])
_OFFSETS = frozenset([0x0E, 0x10, 0x17, 0x1D, 0x1F, 0x1F20, 0x1F21])
_SIZES = {
    **dict.fromkeys((0x0B, 0x0C, 0x11, 0x25, 0x29), 1),
    **dict.fromkeys((0x05, 0x12, 0x26, 0x2A), 2),
    **dict.fromkeys((0x27, 0x2B), 3),
    **dict.fromkeys((0x06, 0x13, 0x1C, 0x28, 0x2C), 4),
    **dict.fromkeys((0x07, 0x14, 0x20, 0x24), 8),
    0x1E: 16,
    0x19: 0,
}


def fixed_size(form: int, offset: int, address: int) -> int | None:
    """The bytes of a value of this form; None where the value itself tells them."""
    if form in _OFFSETS:
        return offset
    if form == FORM_ADDR:
        return address
    return 0 if form == FORM_IMPLICIT_CONST else _SIZES.get(form)


class Cursor:
    """A place in bytes from which values are read one after the other.

    `offset` is the size of an offset, four bytes or eight, `address` that of an address. IndexError
    or ValueError where there is nothing more, or nothing known.
    """

    def __init__(self, raw: bytes, at: int = 0) -> None:
        self.raw, self.at = raw, at
        self.offset = 4
        self.address = 8

    def fixed(self, size: int) -> int:
        """An unsigned number of so many bytes."""
        self.at += size
        if self.at > len(self.raw):
            raise IndexError("the bytes end")
        return int.from_bytes(self.raw[self.at - size : self.at], "little")

    def initial_length(self) -> int:
        """The length that follows, which tells the size of offsets too."""
        length = self.fixed(4)
        if length == DWARF_64:
            self.offset = 8
            length = self.fixed(8)
        return length

    def unsigned(self) -> int:
        """A ULEB128."""
        value, self.at = unsigned(self.raw, self.at)
        return value

    def signed(self) -> int:
        """An SLEB128."""
        value, self.at = signed(self.raw, self.at)
        return value

    def string(self) -> bytes:
        """A string with its NUL."""
        end = self.raw.index(0, self.at)
        text, self.at = self.raw[self.at : end], end + 1
        return text

    def skip(self, size: int) -> None:
        """Pass over so many bytes."""
        self.at += size
        if self.at > len(self.raw):
            raise IndexError("the bytes end")

    def form(self, form: int) -> int | bytes:
        """A value: a string that stands here as bytes, all others as a number; blocks are 0."""
        if form == FORM_STRING:
            return self.string()
        if form == FORM_INDIRECT:
            return self.form(self._direct())
        if form in _LEB_BLOCKS or form in _SIZED_BLOCKS:
            size = _SIZED_BLOCKS.get(form)
            self.skip(self.unsigned() if size is None else self.fixed(size))
            return 0
        return self._number(form)

    def _number(self, form: int) -> int:
        if form in _LEBS:
            return self.unsigned()
        if form == _SDATA:
            return self.signed()
        if form in _OFFSETS:
            return self.fixed(self.offset)
        size = self.address if form == FORM_ADDR else _SIZES.get(form)
        if size is None:
            raise ValueError("a form of DWARF that is unknown")
        return self.fixed(size)

    def _direct(self) -> int:
        form = self.unsigned()
        if form == FORM_INDIRECT:
            raise ValueError("a form that leads to itself")
        return form
