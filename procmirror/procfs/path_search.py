"""Paths that lead to inodes, looked for with the rights of the requester.

Nothing but this kernel is asked. A path that is tried is followed only as far as the kernel has it
in its cache (openat2(2), RESOLVE_CACHED); a directory that is read is on the file system of what is
looked for, and is not left over a mount or a link. To read it does not change its access time,
so only directories are read of which the kernel permits that (O_NOATIME).
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from procmirror.identity import file_calls
from procmirror.procfs.local_files import known_status
from procmirror.stack.target import Inode

MOST_BEGINNINGS = 64  # directories that are held open
MOST_DIRECTORIES = 4096  # that wait to be read
MOST_ENTRIES = 4096  # of one directory
_CACHED = file_calls.RESOLVE_CACHED | file_calls.RESOLVE_NO_MAGICLINKS | file_calls.RESOLVE_IN_ROOT
_BELOW = file_calls.RESOLVE_NO_XDEV | file_calls.RESOLVE_BENEATH | file_calls.RESOLVE_NO_MAGICLINKS
_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME | os.O_NOFOLLOW


@contextmanager
def _open(directory: int, path: bytes, flags: int, resolve: int) -> Iterator[int]:
    descriptor = file_calls.open_resolved(directory, path, flags, resolve)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class PathSearch:
    """One search below the directory `root`, for files of local file systems.

    It ends when all are found or `is_late` says so.
    """

    def __init__(self, root: int, wanted: Collection[Inode], is_late: Callable[[], bool]) -> None:
        self._root, self._wanted, self._is_late = root, set(wanted), is_late
        self._devices = {one.device for one in wanted}
        self._numbers = {one.number for one in wanted}
        self._found: dict[Inode, bytes] = {}

    def found(self, places: Sequence[bytes], enough: int) -> dict[Inode, bytes]:
        """The paths of those that are found at the places.

        If these are fewer than `enough`, it is also looked below those places that are directories,
        the nearest ones first.
        """
        beginnings: list[tuple[int, bytes]] = []
        try:
            for place in places:
                if self._is_over():
                    break
                with suppress(OSError, ValueError):
                    self._try(place, beginnings)
            self._read(deque((top, b".", path) for top, path in beginnings), enough)
        finally:
            for top, _ in beginnings:
                os.close(top)
        return self._found

    def _is_over(self) -> bool:
        return not self._wanted or self._is_late()

    def _try(self, place: bytes, beginnings: list[tuple[int, bytes]]) -> None:
        """One path; a directory of a wanted device is kept open among `beginnings`."""
        with _open(self._root, place, os.O_PATH, _CACHED) as file:
            status = known_status(file)[0]
            self._note(Inode(status.device, status.inode or 0), place)
            begins = stat.S_ISDIR(status.mode) and status.device in self._devices
            if begins and len(beginnings) < MOST_BEGINNINGS:
                beginnings.append((os.dup(file), place))

    def _note(self, inode: Inode, path: bytes) -> None:
        if inode in self._wanted:
            self._wanted.discard(inode)
            self._found[inode] = path

    def _read(self, coming: deque[tuple[int, bytes, bytes]], enough: int) -> None:
        """Directories, as the one that they are below, the way from there, and the whole path."""
        while coming and len(self._found) < enough and not self._is_over():
            top, way, path = coming.popleft()
            with suppress(OSError), _open(top, way, _LISTED, _BELOW) as directory:
                for name in self._listed(directory, path):
                    if len(coming) < MOST_DIRECTORIES:
                        coming.append((top, way + b"/" + name, os.path.join(path, name)))

    def _listed(self, directory: int, path: bytes) -> Iterator[bytes]:
        """The directories in one, whose entries are compared with what is wanted."""
        with os.scandir(directory) as entries:
            for _, entry in zip(range(MOST_ENTRIES), entries, strict=False):
                name = os.fsencode(entry.name)
                if entry.inode() in self._numbers:
                    self._compare(directory, name, path)
                if entry.is_dir(follow_symlinks=False):
                    yield name

    def _compare(self, directory: int, name: bytes, path: bytes) -> None:
        """Note an entry if it is wanted: of an entry the device is not told."""
        flags = os.O_PATH | os.O_NOFOLLOW
        with suppress(OSError), _open(directory, name, flags, _BELOW) as file:
            status = known_status(file)[0]
            self._note(Inode(status.device, status.inode or 0), os.path.join(path, name))
