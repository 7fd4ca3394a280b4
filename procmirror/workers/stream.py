"""A content that is read while a worker still makes it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import trio

from procmirror.identity.errors import error


class Stream:
    """The spool of a worker, and how far it has grown.

    `descriptor` is the spool's, which the owner closes; `size` is the number of bytes so far.
    `scope` is cancelled when the content is not wanted any more. `charge` is called with the number
    of bytes that are added, and may refuse them with an OSError. `failed` says that the content is
    incomplete.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.scope = trio.CancelScope()
        self.failed = False
        self._ended = False
        self._changed = trio.Event()
        self.charge: Callable[[int], None] = lambda _: None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def grow(self, size: int) -> None:
        """Note that the spool has `size` bytes now; the OSError of `charge` if they are refused."""
        self.charge(size - self.size)
        self.size = size
        self._wake()

    def abandon(self) -> None:
        """End the stream: its content is not wanted any more, and nothing more is charged."""
        self.charge = lambda _: None
        self.scope.cancel()

    def end(self, *, failed: bool) -> None:
        """Note that nothing more will come."""
        self._ended, self.failed = True, failed
        self._wake()

    def has(self, offset: int, size: int) -> bool:
        """Whether `size` bytes at `offset` are there, or nothing more will come."""
        return self._ended or self.size >= offset + size

    async def wait_for(self, offset: int, size: int) -> None:
        """Wait until `size` bytes at `offset` are there, or nothing more will come."""
        while not self.has(offset, size):
            await self._changed.wait()

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes that are there; OSError(EIO) at the end of an incomplete content."""
        if self.failed and offset >= self.size:
            raise error(errno.EIO)
        return os.pread(self.descriptor, min(size, max(0, self.size - offset)), offset)
