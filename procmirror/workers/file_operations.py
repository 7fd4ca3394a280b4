"""What FUSE asks of raw files: OPEN, READ and WRITE."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

from procmirror.identity.ring import NotSoon
from procmirror.mirror.snapshot import reported
from procmirror.procfs import fdinfo_in_order, proc
from procmirror.procfs.contents import CHUNK, ONE_PIECE
from procmirror.procfs.file_reading import FileReading
from procmirror.workers.content import Content, content_received
from procmirror.workers.opened import Opened, descriptor_received
from procmirror.workers.operation import Context, Operation
from procmirror.workers.result import Result
from procmirror.workers.spool import spool_or_bytes

# What was read from the start of a file, whether that is all of it, and the errno of a refusal.
ReadAhead: TypeAlias = tuple[bytes, bool, int]


class Open(Operation[Opened[ReadAhead]], tag="open", frozen=True):
    """OPEN of a raw file.

    `flags` are those of open(2). If `readahead` is not 0, so many bytes are read at once and serve
    a READ that follows soon.
    """

    path: bytes
    flags: int = os.O_RDONLY
    readahead: int = 0

    def run(self, descriptors: Sequence[int], context: Context) -> Opened[ReadAhead]:
        """Open the file."""
        files = context.files
        descriptor = files.open(descriptors[0], self.path, self.flags)
        if not self.readahead:
            return Opened(descriptor)
        in_one_piece = self.path.rpartition(b"/")[2] in ONE_PIECE
        try:
            start = _start(files, descriptor, self.readahead, in_one_piece=in_one_piece)
        except NotSoon:
            os.close(descriptor)
            raise
        return Opened(descriptor, start)

    def received(self, result: Result) -> Opened[ReadAhead]:
        """The open file; OSError(EMFILE) if the daemon had no descriptor left for it."""
        del self
        descriptor = descriptor_received(result)
        if result.value is None:
            return Opened(descriptor)
        data, complete, refused = result.value
        return Opened(descriptor, (data, complete, refused))


def _start(
    files: FileReading, descriptor: int, size: int, *, in_one_piece: bool
) -> ReadAhead | None:
    """What a READ of `size` bytes from the start gets; None if its end is not known."""
    try:
        if in_one_piece:
            first = files.piece(descriptor, size)
            return first, len(first) < size, 0
        first = files.read(descriptor, 0, size)
    except OSError as refused:
        return b"", False, refused.errno or errno.EIO
    with suppress(OSError):
        return first, len(first) < size and not os.pread(descriptor, 1, len(first)), 0
    return None


class ReadWhole(Operation[Content], tag="read-whole", frozen=True):
    """A raw file from its start to its end, as it is now; `space` is the limit in bytes.

    Whoever closes the file may have to wait, as it may be the last to hold what the file is about.
    """

    path: bytes
    space: int

    def run(self, descriptors: Sequence[int], context: Context) -> Content:
        """Read the file and close it."""
        descriptor = proc.open_file(descriptors[0], self.path)
        try:
            pieces = iter(lambda: os.read(descriptor, CHUNK), b"")
            return spool_or_bytes(reported(pieces, context.progress), self.space, context.grown)
        finally:
            os.close(descriptor)

    def received(self, result: Result) -> Content:
        """The content."""
        del self
        return content_received(result)


class Read(Operation[bytes], tag="read", frozen=True):
    """READ of an open raw file."""

    offset: int
    size: int

    def run(self, descriptors: Sequence[int], context: Context) -> bytes:
        """Read up to `size` bytes."""
        return context.files.read(descriptors[0], self.offset, self.size)


class ReadInOrder(Operation[list[tuple[int, bytes]]], tag="in-order", frozen=True):
    """The contents of some descriptors, by number.

    `path` is that of `fdinfo`. With `looks` the files behind the descriptors may be looked at.
    """

    path: bytes
    first: int
    most: int
    looks: bool

    def run(self, descriptors: Sequence[int], context: Context) -> list[tuple[int, bytes]]:
        """Read them."""
        del context
        return fdinfo_in_order.contents(
            descriptors[0], self.path, self.first, self.most, looks=self.looks
        )

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

    def run(self, descriptors: Sequence[int], context: Context) -> int:
        """Write all bytes in one call; returns how many the kernel took."""
        del context
        data = os.pread(descriptors[1], self.size, 0) if len(descriptors) > 1 else self.data
        return proc.write(descriptors[0], data, self.offset)
