"""What FUSE asks of raw files: OPEN, READ and WRITE."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

from procmirror.procfs import fdinfo_in_order, proc
from procmirror.workers.opened import Opened, descriptor_received
from procmirror.workers.operation import Context, Operation
from procmirror.workers.result import Result

# What was read from the start of a file, and whether that is all of it.
ReadAhead: TypeAlias = tuple[bytes, bool]


class Open(Operation[Opened[ReadAhead]], tag="open", frozen=True):
    """OPEN of a raw file.

    `flags` are those of open(2). If `readahead` is not 0, so many bytes are read at once and serve
    a READ that follows soon.
    """

    path: bytes
    flags: int = os.O_RDONLY
    readahead: int = 0

    def run(self, at: Sequence[int], context: Context) -> Opened[ReadAhead]:
        """Open the file."""
        del context
        descriptor = proc.open_file(at[0], self.path, self.flags)
        content = None
        if self.readahead:
            with suppress(OSError):
                first = proc.read(descriptor, 0, self.readahead)
                whole = len(first) < self.readahead and not os.pread(descriptor, 1, len(first))
                content = first, whole
        return Opened(descriptor, content)

    def received(self, result: Result) -> Opened[ReadAhead]:
        """The open file; OSError(EMFILE) if the daemon had no descriptor left for it."""
        del self
        descriptor = descriptor_received(result)
        if result.value is None:
            return Opened(descriptor)
        data, complete = result.value
        return Opened(descriptor, (data, complete))


class Read(Operation[bytes], tag="read", frozen=True):
    """READ of an open raw file."""

    offset: int
    size: int

    def run(self, at: Sequence[int], context: Context) -> bytes:
        """Read up to `size` bytes."""
        del context
        return proc.read(at[0], self.offset, self.size)


class ReadInOrder(Operation[list[tuple[int, bytes]]], tag="in-order", frozen=True):
    """The contents of some descriptors, by number.

    `path` is that of `fdinfo`. With `looks` the files behind the descriptors may be looked at.
    """

    path: bytes
    first: int
    most: int
    looks: bool

    def run(self, at: Sequence[int], context: Context) -> list[tuple[int, bytes]]:
        """Read them."""
        del context
        return fdinfo_in_order.contents(at[0], self.path, self.first, self.most, looks=self.looks)

    def received(self, result: Result) -> list[tuple[int, bytes]]:
        """The pairs."""
        del self
        return [(number, content) for number, content in result.value]


class Write(Operation[int], tag="write", frozen=True):
    """WRITE to an open raw file.

    A negative `offset` means the position of the descriptor. If a message has no room for the
    bytes, a second descriptor holds `size` bytes.
    """

    offset: int
    size: int
    data: bytes = b""

    def run(self, at: Sequence[int], context: Context) -> int:
        """Write all bytes in one call; returns how many the kernel took."""
        del context
        data = os.pread(at[1], self.size, 0) if len(at) > 1 else self.data
        return proc.write(at[0], data, self.offset)
