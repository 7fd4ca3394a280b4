"""A regular file of a shown process, opened so that nothing waits for its file system."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Hashable


class OpenFile:
    """A regular file, open for reading until it is closed.

    `path_only` is an O_PATH descriptor of it, `own` a procfs in which this process is `self`.
    Raises OSError(EINVAL) for any other kind of file, without opening it.
    """

    def __init__(self, own: int, path_only: int) -> None:
        status = os.fstat(path_only)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._descriptor = os.open(f"self/fd/{path_only}", flags, dir_fd=own)
        self.size = status.st_size
        self.owner = status.st_uid
        times = status.st_mtime_ns, status.st_ctime_ns
        self.identity: tuple[int, ...] = (status.st_dev, status.st_ino, status.st_size, *times)
        self.key: Hashable = self.identity

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`."""
        return os.pread(self._descriptor, size, offset)

    @property
    def descriptor(self) -> int:
        """Its descriptor, which `close` closes."""
        return self._descriptor

    def close(self) -> None:
        """Close it; a later read raises OSError(EBADF)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()
