"""The tables in which HotSpot describes its own structures: where fields are, how large types are.

Sources: runtime/vmStructs.hpp; `gHotSpotVMStructs` and `gHotSpotVMTypes` are exported for
debuggers. The tables stand in the memory of the shown process, so they are no more trusted than it.
"""

from __future__ import annotations

import struct

from procmirror.stack.checked_memory import CheckedMemory, ContradictionError
from procmirror.stack.elf import Elf, remembered
from procmirror.stack.process import Image
from procmirror.stack.symbols import variable

MOST_ROWS = 4096
MOST_NAME = 64
_FIELD = struct.Struct("<QQQi4xQQ")  # type, field, its type, static, offset, address
_TYPE = struct.Struct("<QQiii4xQ")  # type, its base, three flags, size


@remembered
def _tables(elf: Elf) -> tuple[int, int] | None:
    fields, types = variable(elf, b"gHotSpotVMStructs"), variable(elf, b"gHotSpotVMTypes")
    return (fields, types) if fields and types else None


class Structures:
    """The structures of one virtual machine; a LookupError for what it does not describe."""

    def __init__(self, memory: CheckedMemory, fields: int, types: int) -> None:
        self.memory = memory
        self._names: dict[int, bytes] = {}
        self._offsets: dict[bytes, tuple[int, int, int]] = {}
        for owner, field, _, static, offset, address in self._rows(fields, _FIELD):
            self._offsets[self._name(owner) + b"::" + self._name(field)] = static, offset, address
        self._sizes = {self._name(row[0]): row[-1] for row in self._rows(types, _TYPE)}

    def _rows(self, address: int, shape: struct.Struct) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for at in range(address, address + shape.size * MOST_ROWS, shape.size):
            row = shape.unpack(self.memory.read(at, shape.size))
            if not row[0]:
                break
            found.append(row)
        return found

    def _name(self, address: int) -> bytes:
        if address not in self._names:
            self._names[address] = self.memory.string(address, MOST_NAME)
        return self._names[address]

    def described(self, *fields: bytes) -> bytes:
        """The first of these fields that there is: its name differs from version to version."""
        return next(field for field in (*fields, fields[0]) if field in self._offsets)

    def has(self, field: bytes) -> bool:
        """Whether there is such a field."""
        return field in self._offsets

    def offset(self, field: bytes) -> int:
        """Where a field is in its structure, in bytes."""
        static, offset, _ = self._offsets[field]
        if static or offset >= 1 << 16:
            raise ContradictionError("a field")
        return offset

    def address(self, field: bytes) -> int:
        """Where a static field is in memory."""
        static, _, address = self._offsets[field]
        if not static:
            raise ContradictionError("a static field")
        return address

    def size(self, name: bytes) -> int:
        """The size of a type, in bytes."""
        size = self._sizes[name]
        if size >= 1 << 16:
            raise ContradictionError("a type")
        return size

    def field(self, structure: int, field: bytes) -> int:
        """The content of a field of 64 bits."""
        return self.memory.word(structure + self.offset(field))

    def half(self, structure: int, field: bytes) -> int:
        """The content of a field of 32 bits, unsigned."""
        return self.memory.half(structure + self.offset(field))

    def short(self, structure: int, field: bytes) -> int:
        """The content of a field of 16 bits, unsigned."""
        return self.memory.half(structure + self.offset(field)) & 0xFFFF

    def static(self, field: bytes) -> int:
        """The content of a static field of 64 bits."""
        return self.memory.word(self.address(field))


def structures(memory: CheckedMemory, image: Image) -> Structures | None:
    """The structures of the virtual machine in a file; None if there is none in it."""
    tables = _tables(image.elf)
    if tables is None:
        return None
    fields, types = (memory.word(address + image.bias) for address in tables)
    return Structures(memory, fields, types)
