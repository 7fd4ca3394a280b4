"""The content of a view as it was when it was made, in memory or in a spool."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from procmirror.fuse.quota import Charge
from procmirror.workers.content import Content
from procmirror.workers.spool import Spool
from procmirror.workers.stream import Stream

# The type of a scope in which a request counts as one that waits.
Waiting: TypeAlias = "Callable[[], AbstractContextManager[None]]"


class Snapshot(Protocol):
    """The content of a view as it was when it was made; `size` is its length in bytes so far."""

    size: int

    async def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""

    def follow(self, charge: Charge) -> None:
        """Charge further growth of the content."""

    def close(self) -> None:
        """Release what it holds."""


class SnapshotInMemory:
    """A small content in memory, `data`."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    async def read(self, offset: int, size: int) -> bytes:
        """A slice of the content."""
        return self.data[offset : offset + size]

    def follow(self, charge: Charge) -> None:
        """Do nothing: the content is complete."""

    def close(self) -> None:
        """Do nothing: there is no descriptor."""


class SnapshotSpooled:
    """A large content in a spool, which a worker may still be making (`stream`).

    `waiting` is the scope in which a reader counts as one that waits.
    """

    __slots__ = ("_descriptor", "_stream", "_waiting", "size")

    def __init__(
        self,
        descriptor: int,
        size: int,
        stream: Stream | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._stream = stream
        self._waiting = waiting
        self.size = size

    async def read(self, offset: int, size: int) -> bytes:
        """Wait for `size` bytes and return them; EIO at the end of an incomplete content."""
        stream = self._stream
        if stream is None:
            return os.pread(self._descriptor, size, offset)
        if not stream.has(offset, size) and self._waiting is not None:
            with self._waiting():
                await stream.wait_for(offset, size)
        return stream.read(offset, size)

    def follow(self, charge: Charge) -> None:
        """Charge each piece when the worker reports it; a refusal ends the stream."""
        if self._stream:
            self._stream.charge = charge.add

    def close(self) -> None:
        """End the stream, if any, and close the spool."""
        if self._stream:
            self._stream.abandon()
        os.close(self._descriptor)


def snapshot_of(content: Content, waiting: Waiting) -> Snapshot:
    """The snapshot of a content."""
    if isinstance(content, bytes):
        return SnapshotInMemory(content)
    if isinstance(content, Spool):
        return SnapshotSpooled(content.number, content.size)
    return SnapshotSpooled(content.descriptor, content.size, content, waiting)
