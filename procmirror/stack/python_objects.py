"""Objects of CPython that tell of code: code objects, their names and their tables.

Sources: Include/cpython/{code,unicodeobject,bytesobject}.h. All of it is memory of another process.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from procmirror.stack.python_layouts import Layout
from procmirror.stack.python_lines import Code, Torn

MOST_TEXT = 1024  # characters of a name
MOST_TABLE = 1 << 16
_COMPACT, _ASCII = 1 << 3, 1 << 4  # above the kind


def at(raw: bytes, offset: int) -> int:
    """The word at an offset."""
    return int.from_bytes(raw[offset : offset + 8], "little")


class Objects:
    """What is read of one process; `read(address, size)` returns exactly `size` bytes."""

    def __init__(self, read: Callable[[int, int], bytes], layout: Layout) -> None:
        self._read, self.layout = read, layout
        self.codes: dict[int, Code] = {}

    def code(self, address: int) -> Code:
        """The code object at an address."""
        if address not in self.codes:
            layout = self.layout
            size = max(layout.filename, layout.name, layout.linetable, layout.firstlineno) + 8
            raw = self._read(address, size)
            (first,) = struct.unpack_from("<i", raw, layout.firstlineno)
            self.codes[address] = Code(
                self._text(at(raw, layout.name)),
                self._text(at(raw, layout.filename)),
                first,
                self._bytes(at(raw, layout.linetable)),
            )
        return self.codes[address]

    def _text(self, address: int) -> str:
        layout = self.layout
        raw = self._read(address, layout.ascii)
        length = at(raw, layout.length)
        (state,) = struct.unpack_from("<I", raw, layout.state)
        state >>= layout.kind
        kind = state & 7
        if not state & _COMPACT or kind not in {1, 2, 4}:
            raise Torn("a text")
        shown = min(length, MOST_TEXT)
        data = address + (layout.ascii if state & _ASCII else layout.compact)
        coding = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind]
        text = self._read(data, shown * kind).decode(coding, "backslashreplace") if shown else ""
        return text + ("…" if length > shown else "")

    def _bytes(self, address: int) -> bytes:
        size = at(self._read(address + self.layout.bytes_size, 8), 0)
        if size > MOST_TABLE:
            raise Torn("a table of lines")
        return self._read(address + self.layout.bytes_data, size) if size else b""
