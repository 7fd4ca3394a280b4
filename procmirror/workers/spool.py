"""Contents too long for a message: files in memory that a worker writes and the daemon reads."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence

from procmirror.identity.errors import error

# The longest content in bytes that is passed in a message.
INLINE_BYTES = 96 << 10
# The time in seconds between two reports of growth: each wakes the daemon and the reader.
_GROWTH_SECONDS = 0.02
# How many pieces writev(2) takes at once (include/uapi/linux/uio.h).
_IOV_MAX = 1024


class Spool:
    """A file in memory that grows to at most `space` bytes.

    `number` is its descriptor, which the owner closes. `sent` says whether the descriptor has been
    passed to the daemon.
    """

    def __init__(self, space: int, number: int = -1) -> None:
        self.number = os.memfd_create("procmirror", os.MFD_CLOEXEC) if number < 0 else number
        self.size = 0
        self.sent = False
        self._space = space

    @classmethod
    def received(cls, number: int, size: int) -> Spool:
        """A spool of `size` bytes that another process has filled, by its descriptor here."""
        spool = cls(size, number)
        spool.size = size
        return spool

    def add(self, pieces: Sequence[bytes]) -> None:
        """Append all pieces; OSError(ENFILE) beyond the space."""
        for start in range(0, len(pieces), _IOV_MAX):
            batch = pieces[start : start + _IOV_MAX]
            size = sum(map(len, batch))
            self.size += size
            if self.size > self._space:
                raise error(errno.ENFILE)
            written = os.writev(self.number, batch)
            if written < size:
                rest = memoryview(b"".join(batch))[written:]
                while rest:
                    rest = rest[os.write(self.number, rest) :]


def no_growth(_: Spool) -> None:
    """Report nothing before the spool is complete."""


def spool_or_bytes(
    pieces: Iterator[bytes], space: int, on_growth: Callable[[Spool], None] = no_growth
) -> bytes | Spool:
    """All pieces joined: as bytes if they are short, else in a spool of at most `space` bytes.

    `on_growth` is called now and then while the spool grows.
    """
    held: list[bytes] = []
    size = 0
    spool: Spool | None = None
    told = time.monotonic()
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > INLINE_BYTES:
                spool = spool or Spool(space)
                spool.add(held)
                held, size = [], 0
                now = time.monotonic()
                if now - told > _GROWTH_SECONDS:
                    told = now
                    on_growth(spool)
        if spool is None:
            return b"".join(held)
        spool.add(held)
    except BaseException:
        if spool is not None:
            os.close(spool.number)
        raise
    return spool
