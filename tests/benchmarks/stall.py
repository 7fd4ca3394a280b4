"""A file system whose one file never ends being closed.

`python -m tests.benchmarks.stall MOUNTPOINT`.

A process that has `file` open and executes a program waits there, with the lock held that a reader
of its environment needs. Once somebody waits, there is also `waiting`.
"""

from __future__ import annotations

import errno
import stat
import sys
from typing import Any

import pyfuse3
import trio

_FILE = 2


class Stall(pyfuse3.Operations):
    """A root with `file` in it, and perhaps `waiting`."""

    def __init__(self) -> None:
        super().__init__()
        self._names = {b"file"}

    async def getattr(self, inode: int, ctx: Any = None) -> pyfuse3.EntryAttributes:
        del ctx
        found = pyfuse3.EntryAttributes()
        found.st_ino = inode
        found.st_mode = stat.S_IFREG | 0o444 if inode == _FILE else stat.S_IFDIR | 0o555
        return found

    async def lookup(
        self, parent_inode: int, name: bytes, ctx: Any = None
    ) -> pyfuse3.EntryAttributes:
        del parent_inode, ctx
        if name not in self._names:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return await self.getattr(_FILE)

    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        del flags, ctx
        return pyfuse3.FileInfo(fh=inode)

    async def flush(self, fh: int) -> None:
        del fh
        self._names.add(b"waiting")
        await trio.sleep_forever()


if __name__ == "__main__":
    pyfuse3.init(Stall(), sys.argv[1], {"fsname=stall"})
    trio.run(pyfuse3.main)
