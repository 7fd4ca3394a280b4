"""Who reads a file of /proc: this thread, or a thread of the kernel for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from procmirror.identity.ring import PLACE_BYTES, Cause, NotSoon, Ring
from procmirror.procfs import contents, proc

# The kernel takes a lock of the process when these are opened (proc_mem_open, fs/proc/base.c).
_OPENED_LATE = frozenset((b"environ", b"current"))
_OBJECT = os.O_PATH | os.O_CLOEXEC


class FileReading(Protocol):
    """How an operation opens and reads files; OSError as the kernel raises it."""

    def open(self, directory: int, path: bytes, flags: int) -> int:
        """A descriptor as `proc.open_file` gives it."""

    def object(self, directory: int, path: bytes) -> int:
        """A descriptor, with O_PATH, of what a magic link stands for."""

    def close_object(self, descriptor: int, mount: int | None) -> None:
        """Close such a descriptor: of a mount by its id, 0 if unknown, None where there is none."""

    def link(self, directory: int, path: bytes) -> bytes:
        """The text of a link."""

    def piece(self, descriptor: int, size: int) -> bytes:
        """The first `size` bytes by one read(2)."""

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`, as many as there are."""

    def content(self, directory: int, path: bytes, progress: Callable[[], None]) -> bytes:
        """A whole file; OSError(EFBIG) beyond the limit, `progress` after each piece."""


class ByThisThread:
    """This thread reads, as whom it acts as."""

    def open(self, directory: int, path: bytes, flags: int) -> int:
        """A descriptor as `proc.open_file` gives it."""
        return proc.open_file(directory, path, flags)

    def object(self, directory: int, path: bytes) -> int:
        """A descriptor, with O_PATH, of what a magic link stands for."""
        return os.open(path, _OBJECT, dir_fd=directory)

    def close_object(self, descriptor: int, _: int | None) -> None:
        """Close such a descriptor."""
        os.close(descriptor)

    def link(self, directory: int, path: bytes) -> bytes:
        """The text of a link."""
        return proc.link(directory, path)

    def piece(self, descriptor: int, size: int) -> bytes:
        """pread(2) from the start."""
        return os.pread(descriptor, size, 0)

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        """As `proc.read` does."""
        return proc.read(descriptor, offset, size)

    def content(self, directory: int, path: bytes, progress: Callable[[], None]) -> bytes:
        """As `contents.content` does."""
        return contents.content(directory, path, progress)


class ByRing:
    """Threads of the kernel read, under a personality, what the kernel makes in one piece.

    NotSoon where the answer takes long, or is longer than what the daemon takes: a worker is to
    read it. `cause` tells for whom, and for which lock, it may wait. A mount for which `is_held` is
    true, by its id, has another holder in this process.
    """

    # The longest file in bytes of which a view is made.
    MOST_BYTES = 32 << 10

    __slots__ = ("_cause", "_is_held", "_personality", "_ring")

    def __init__(
        self,
        ring: Ring,
        personality: int,
        cause: Cause,
        is_held: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._ring = ring
        self._personality = personality
        self._cause = cause
        self._is_held = is_held

    def open(self, directory: int, path: bytes, flags: int) -> int:
        """A descriptor as `proc.open_file` gives it."""
        flags |= proc.READ
        waits = path.rpartition(b"/")[2] in _OPENED_LATE
        return self._ring.open(directory, path, flags, self._personality, self._cause, waits=waits)

    def object(self, directory: int, path: bytes) -> int:
        """A descriptor, with O_PATH, of what a magic link stands for."""
        return self._ring.open(directory, path, _OBJECT, self._personality, self._cause)

    def close_object(self, descriptor: int, mount: int | None) -> None:
        """Close such a descriptor: here, unless it may be the last one of a mount."""
        if mount is None or (mount and self._has_another_holder(mount)):
            os.close(descriptor)
        else:
            self._ring.close_object(descriptor, self._cause.account)

    def _has_another_holder(self, mount: int) -> bool:
        try:
            return self._is_held(mount)
        except OSError:
            return False

    def link(self, directory: int, path: bytes) -> bytes:
        """NotSoon: a ring reads no links."""
        del directory, path
        raise NotSoon

    def piece(self, descriptor: int, size: int) -> bytes:
        """The first `size` bytes."""
        return self.read(descriptor, 0, size)

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`."""
        wanted = min(size, PLACE_BYTES)
        got = self._ring.read(descriptor, wanted, offset, self._personality, self._cause)
        if len(got) == wanted < size:
            raise NotSoon
        return got

    def content(self, directory: int, path: bytes, progress: Callable[[], None]) -> bytes:
        """A whole file."""
        descriptor = self.open(directory, path, os.O_RDONLY)
        try:
            found = self.piece(descriptor, PLACE_BYTES)
        finally:
            os.close(descriptor)
            progress()
        if len(found) > self.MOST_BYTES:
            raise NotSoon
        return found


THIS_THREAD = ByThisThread()
