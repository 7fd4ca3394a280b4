"""Methods of Java as HotSpot keeps them: class, name, file and the lines of its bytecodes.

Sources: oops/method.hpp, constMethod.hpp, constantPool.hpp, symbol.hpp, code/compressedStream.hpp.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from procmirror.stack.checked_memory import Bytes, ContradictionError
from procmirror.stack.hotspot_structs import Structures

MOST_LINES = 1 << 16  # bytes of one table of lines
# The name of a class without a name of its own, and how HotSpot prints it.
_HIDDEN = re.compile(r"\+(0x[0-9a-f]{16})$")
_NATIVE = 0x100  # a flag of a method
_HAS_LINES = 1
# The byte before a pair that takes more than one: CompressedLineNumberWriteStream in method.cpp.
_FULL_PAIR = 0xFF
_LOW, _HIGH = 192, 64  # of the coding UNSIGNED5


class Method(NamedTuple):
    """A method; `file` is None for one of C++ or of no file, `lines` for one without lines."""

    name: str
    file: str | None
    lines: list[tuple[int, int]]


def unsigned5(byte: Callable[[], int], least: int) -> int:
    """A number of at most five bytes, the lowest six bits first; each byte counts from `least`."""
    found = 0
    for shift in range(0, 30, 6):
        one = byte()
        if one < least:
            raise ContradictionError("a number")
        found += one - least << shift
        if one < _LOW:
            break
    return found & 0xFFFFFFFF


def signed5(byte: Callable[[], int], least: int) -> int:
    """A number with a sign in its lowest bit, of at most five bytes as in `unsigned5`."""
    found = unsigned5(byte, least)
    return found >> 1 ^ -(found & 1)


class Methods:
    """The methods of one virtual machine, each read once for a request."""

    def __init__(self, structures: Structures, least: int) -> None:
        self._structures, self._least = structures, least
        flags = (b"ConstMethod::_flags", b"ConstMethod::_flags._flags")
        self._flags = structures.described(*flags)
        self._known: dict[int, Method] = {}

    def method(self, address: int) -> Method:
        """The method at an address."""
        if address not in self._known:
            self._known[address] = self._read(address)
        return self._known[address]

    def line(self, address: int, index: int) -> int | None:
        """The line of the bytecode with this index."""
        found = None
        for start, line in self.method(address).lines:
            if start > index:
                break
            found = line
        return found

    def begins(self, address: int) -> int:
        """Where the bytecodes of a method begin."""
        at = self._structures
        return at.field(address, b"Method::_constMethod") + at.size(b"ConstMethod")

    def _read(self, address: int) -> Method:
        at = self._structures
        constant = at.field(address, b"Method::_constMethod")
        pool = at.field(constant, b"ConstMethod::_constants")
        owner = at.field(at.field(pool, b"ConstantPool::_pool_holder"), b"Klass::_name")
        name = self._constant(pool, at.short(constant, b"ConstMethod::_name_index"))
        shown = _HIDDEN.sub(r"/\1", self._symbol(owner).replace("/", "."))
        text = f"{shown}.{self._symbol(name)}"
        if at.half(address, b"Method::_access_flags") & _NATIVE:
            return Method(text, None, [])
        file = at.short(pool, b"ConstantPool::_source_file_name_index")
        lines = [*self._lines(constant)]
        return Method(text, self._symbol(self._constant(pool, file)) if file else None, lines)

    def _constant(self, pool: int, index: int) -> int:
        at = self._structures
        if not 0 < index < at.half(pool, b"ConstantPool::_length"):
            raise ContradictionError("a constant")
        return at.memory.word(pool + at.size(b"ConstantPool") + 8 * index) & ~1

    def _symbol(self, address: int) -> str:
        at = self._structures
        length = at.short(address, b"Symbol::_length")
        return at.memory.text(address + at.offset(b"Symbol::_body"), length)

    def _lines(self, constant: int) -> Iterator[tuple[int, int]]:
        """The indexes of bytecodes at which lines begin, with the line."""
        at = self._structures
        if not at.short(constant, self._flags) & _HAS_LINES:
            return
        place = constant + at.size(b"ConstMethod") + at.short(constant, b"ConstMethod::_code_size")
        byte = Bytes(at.memory, place, MOST_LINES).one
        index = line = 0
        while one := byte():
            if one == _FULL_PAIR:
                index += signed5(byte, self._least)
                line += signed5(byte, self._least)
            else:
                index, line = index + (one >> 3), line + (one & 7)
            yield index, line
