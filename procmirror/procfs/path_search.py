"""Paths that lead to inodes, tried with the rights of the requester.

Nothing but this kernel is asked: a path is followed only as far as the kernel has it in its cache
(openat2(2), RESOLVE_CACHED). No directory is read and no file is opened but by O_PATH, of which
nobody hears who watches it (inotify(7), fanotify(7)).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from procmirror.identity import file_calls
from procmirror.procfs.local_files import known_status
from procmirror.stack.target import Inode

_CACHED = file_calls.RESOLVE_CACHED | file_calls.RESOLVE_NO_MAGICLINKS | file_calls.RESOLVE_IN_ROOT


def tried_paths(
    root: int, wanted: Collection[Inode], places: Sequence[bytes], is_late: Callable[[], bool]
) -> dict[Inode, bytes]:
    """The `places` below the directory `root` that lead to a wanted file, by the file.

    It ends when all are found or `is_late` says so. Of several paths to one file the first counts.
    """
    found: dict[Inode, bytes] = {}
    for place in places:
        if len(found) == len(wanted) or is_late():
            break
        with suppress(OSError, ValueError):
            inode = _inode(root, place)
            if inode in wanted:
                found.setdefault(inode, place)
    return found


def _inode(root: int, place: bytes) -> Inode:
    with _open(root, place) as file:
        status = known_status(file)[0]
    return Inode(status.device, status.inode or 0)


@contextmanager
def _open(root: int, place: bytes) -> Iterator[int]:
    descriptor = file_calls.open_resolved(root, place, os.O_PATH, _CACHED)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
