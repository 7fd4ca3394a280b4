"""Memory of another process that an interpreter's data are read from: nothing in it is trusted.

Whole pages are read and kept until `forget`, so that what is read between two checks of a thread is
of the time between them. There is a limit of bytes, and one
of places, for one request.
"""

from __future__ import annotations

import struct

from procmirror.stack.process import Process

PAGE = 4096
MOST_BYTES = 16 << 20
MOST_AT_ONCE = 1 << 16
MOST_READS = 1_000_000  # of one request: a second
USER_SPACE = range(PAGE, 1 << 48)  # aarch64; less on x86_64


class ContradictionError(ValueError):
    """What was read is not what an interpreter keeps there."""


class CheckedMemory:
    """The memory of one process, for one request."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._left, self._reads = MOST_BYTES, MOST_READS
        self._pages: dict[int, bytes] = {}
        self._copied: tuple[int, bytes] = 0, b""
        self._stack = range(0)

    @property
    def plenty(self) -> bool:
        """Whether less than half of what one request may read was read."""
        return self._left > MOST_BYTES // 2 and self._reads > MOST_READS // 2

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._pages.clear()

    def begin_sample(self, copied: tuple[int, bytes]) -> None:
        """Read of a stack what a sample has of it, its address and content, and nothing else.

        What is in memory now is of another moment.
        """
        mapping = self._process.maps.holding(copied[0])
        self._copied = copied
        self._stack = range(mapping.start, mapping.end) if mapping else range(0)
        self.forget()

    def end_sample(self) -> None:
        """Read memory itself again."""
        self._copied, self._stack = (0, b""), range(0)
        self.forget()

    def read(self, address: int, size: int) -> bytes:
        """Exactly `size` bytes; ContradictionError where that is not to be had."""
        if address not in USER_SPACE or not 0 <= size <= MOST_AT_ONCE:
            raise ContradictionError("an address or a size")
        self._reads -= 1
        if self._reads < 0:
            raise ContradictionError("too many places to read")
        start, copy = self._copied
        if start <= address and address + size <= start + len(copy):
            return copy[address - start : address - start + size]
        if address in self._stack or address + size - 1 in self._stack:
            raise ContradictionError("more stack than a sample has")
        first = address & -PAGE
        pages = b"".join(self._page(page) for page in range(first, address + size, PAGE))
        found = pages[address - first : address - first + size]
        if len(found) != size:
            raise ContradictionError("memory that ends")
        return found

    def _page(self, page: int) -> bytes:
        if page not in self._pages:
            self._left -= PAGE
            if self._left < 0:
                raise ContradictionError("too much to read")
            self._pages[page] = self._process.memory(page, PAGE)
        return self._pages[page]

    def word(self, address: int) -> int:
        """An unsigned number of 64 bits, or an address."""
        return int.from_bytes(self.read(address, 8), "little")

    def byte(self, address: int) -> int:
        """An unsigned number of 8 bits."""
        return self.read(address, 1)[0]

    def half(self, address: int) -> int:
        """An unsigned number of 32 bits."""
        return int.from_bytes(self.read(address, 4), "little")

    def words(self, address: int, count: int) -> tuple[int, ...]:
        """Numbers of 64 bits side by side."""
        return struct.unpack(f"<{count}Q", self.read(address, 8 * count))

    def text(self, address: int, length: int, most: int = 1024) -> str:
        """A text of `length` bytes in UTF-8, cut with `…` behind `most` of them."""
        raw = self.read(address, min(length, most)) if length else b""
        return raw.decode("utf-8", "backslashreplace") + ("…" if length > most else "")

    def string(self, address: int, most: int) -> bytes:
        """A text up to its NUL, cut behind `most` bytes."""
        found = b""
        while len(found) < most:
            here = address + len(found)
            piece = self.read(here, min(PAGE - here % PAGE, most - len(found)))
            head, end, _ = piece.partition(b"\0")
            found += head
            if end:
                break
        return found


class Bytes:
    """The bytes from an address on, one after another, at most `most`."""

    def __init__(self, memory: CheckedMemory, address: int, most: int) -> None:
        self._memory, self._at, self._end = memory, address, address + most

    def one(self) -> int:
        """The next byte."""
        if self._at >= self._end:
            raise ContradictionError("a text without end")
        self._at += 1
        return self._memory.byte(self._at - 1)
