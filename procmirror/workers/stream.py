"""A content that a worker is still making: how much of it is there, for whoever reads it meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import trio


class Stream:
    """The spool of a worker (a descriptor), and how far it has grown."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        self.scope = trio.CancelScope()
        self.failed = False
        self._ended = False
        self._changed = trio.Event()
        # Told how many bytes more there are; may refuse them with an OSError.
        self.charge: Callable[[int], None] = lambda _: None

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def grow(self, size: int) -> None:
        """So many bytes are there by now."""
        self.charge(size - self.size)
        self.size = size
        self._tell()

    def abandon(self) -> None:
        """Nobody wants it any more."""
        self.charge = lambda _: None
        self.scope.cancel()

    def end(self, *, failed: bool) -> None:
        """Nothing more will come."""
        self._ended, self.failed = True, failed
        self._tell()

    def has(self, offset: int, size: int) -> bool:
        """Whether so much is there, or nothing more will come."""
        return self._ended or self.size >= offset + size

    async def wait_for(self, offset: int, size: int) -> None:
        """Wait until it is there."""
        while not self.has(offset, size):
            await self._changed.wait()

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes of what is there; EIO at the end of what was never finished."""
        if self.failed and offset >= self.size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return os.pread(self.descriptor, min(size, max(0, self.size - offset)), offset)
