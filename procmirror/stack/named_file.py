"""Whether two processes have the same file open by a name, such as a FIFO.

Source: `ino` and `mnt_id` of /proc/PID/fdinfo/N, /proc/PID/mountinfo. The file system is not asked:
its server may never answer.

A name may be another file in another mount namespace, and inode numbers of two file systems are
often equal: the first file in a tmpfs has the same number everywhere.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from procmirror.decoding.proc_files import mount_lines

_INODE = re.compile(rb"^ino:\s*(\d{1,20})$", re.MULTILINE)
_MOUNT = re.compile(rb"^mnt_id:\s*(\d{1,10})$", re.MULTILINE)
# Each subvolume has inode numbers of its own, all of them on one device.
_OF_SUBVOLUMES = (b"btrfs", b"bcachefs")
# How many processes are asked for their mounts, and how many bytes they may tell together. Each may
# have a mount namespace of its own, of a hundred thousand mounts (fs.mount-max): half a second.
MOST_TABLES, MOST_TOLD = 64, 4 << 20


class NamedFile(NamedTuple):
    """A file in the kernel's words: its number and that of its mount, or its name.

    `inode` is the name where the kernel does not tell the number (before Linux 5.14).
    """

    inode: int | str
    mount: int


def named_file(name: str, fdinfo: bytes) -> NamedFile | None:
    """The file of a descriptor; None without the number of its mount (before Linux 3.15)."""
    inode, mount = _INODE.search(fdinfo), _MOUNT.search(fdinfo)
    return NamedFile(int(inode[1]) if inode else name, int(mount[1])) if mount else None


class FileSystem(NamedTuple):
    """A file system in which each file has a number of its own: a device, and a subvolume of it."""

    device: bytes
    subvolume: bytes


class Mounts:
    """The file systems behind the numbers of mounts, looked up in the mountinfo of processes.

    `read` reads a file below a procfs, by its path. `most` processes are asked.
    """

    def __init__(self, read: Callable[[str], bytes], most: int = MOST_TABLES) -> None:
        self._read, self._most = read, most
        self._known: dict[int, FileSystem] = {}
        self._asked: set[str] = set()
        self._left = MOST_TOLD

    def file_system(self, mount: int, directory: str) -> FileSystem | None:
        """The file system of a mount; None if it is not known.

        `directory` leads to a process that has a file of it open.
        """
        more = directory not in self._asked and len(self._asked) < self._most
        if mount not in self._known and more and self._left > 0:
            self._asked.add(directory)
            self._known |= self._mounts(directory)
        return self._known.get(mount)

    def _mounts(self, directory: str) -> Mapping[int, FileSystem]:
        with suppress(OSError, ValueError):
            return {
                one.mount_id: FileSystem(
                    one.device, one.root if one.fs_type in _OF_SUBVOLUMES else b""
                )
                for one in mount_lines(self._table(f"{directory}mountinfo"))
            }
        return {}

    def _table(self, path: str) -> bytes:
        """A table, empty if it is too much."""
        try:
            table = self._read(path)
        except OSError as refused:
            # Of this much, nothing is told (EFBIG).
            self._left -= MOST_TOLD if refused.errno == errno.EFBIG else 0
            raise
        self._left -= len(table)
        return table if self._left >= 0 else b""

    def same(self, one: NamedFile, its: str, other: NamedFile, others: str) -> bool:
        """Whether two files are known to be the same, open in processes of these directories."""
        if one.inode != other.inode or one.mount == other.mount:
            return one == other
        where = self.file_system(one.mount, its)
        return where is not None and where == self.file_system(other.mount, others)


class Openers:
    """The processes that have files of one number open in one way."""

    def __init__(self, mounts: Mounts) -> None:
        self._mounts = mounts
        self._by_mount: dict[int, set[int]] = {}
        self._by_file_system: dict[FileSystem, set[int]] = {}
        self._subvolumes: dict[bytes, set[bytes]] = {}
        self._unknown: set[int] = set()

    def add(self, mount: int, pids: set[int]) -> None:
        """Note who has the file on a mount open."""
        self._by_mount[mount] = pids
        where = self._mounts.file_system(mount, f"{min(pids)}/")
        if where is None:
            self._unknown.add(mount)
            return
        self._by_file_system.setdefault(where, set()).update(pids)
        self._subvolumes.setdefault(where.device, set()).add(where.subvolume)

    def of(self, mount: int, pid: int) -> tuple[set[int], bool]:
        """Who has the file open that `pid` has open on a mount; and whether these are all.

        A subvolume may be a part of another one: then it is not known.
        """
        where = self._mounts.file_system(mount, f"{pid}/")
        if where is None:
            return self._by_mount.get(mount, set()), self._by_mount.keys() <= {mount}
        subvolumes = self._subvolumes.get(where.device, set())
        certain = not self._unknown and subvolumes <= {where.subvolume}
        return self._by_file_system.get(where, set()), certain
