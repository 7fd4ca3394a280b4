"""The content of a file of /proc from its start to its end, within a limit of size."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from io import BytesIO

from procmirror.identity.errors import error
from procmirror.procfs.proc import open_file

# Most files are shorter than the first, and as much as the second costs more to ask for than to
# read.
_FIRST, CHUNK = 1 << 13, 1 << 17
# How much of one source a view may take into memory; an unprivileged process can make its
# environment a terabyte long, and the name of each of its 65,530 mappings 4 KiB.
_LIMITS = {
    b"environ": 8 << 20,
    b"cmdline": 8 << 20,
    b"maps": 32 << 20,
    b"numa_maps": 32 << 20,
}
LIMIT = 64 << 20
# Files that the kernel makes in one piece (single_open, get_mm_cmdline, environ_read,
# proc_pid_attr_read; fs/proc/base.c): less than was asked for is all there is. The machine's own
# files of these names too, but for schedstat, of many pieces.
ONE_PIECE = frozenset(
    (
        *(b"cgroup", b"cmdline", b"comm", b"environ", b"io", b"limits", b"oom_score"),
        *(b"smaps_rollup", b"stack", b"stat", b"statm", b"status", b"syscall", b"wchan"),
        *(b"current", b"coredump_filter"),
    )
)


def content(directory: int, path: bytes, progress: Callable[[], None], enough: int = 0) -> bytes:
    """The whole of a file; OSError(EFBIG) beyond the limit, `progress` after each piece.

    If it is longer than `enough`, and that is not 0, not all of it but more than so many bytes.
    """
    try:
        descriptor = open_file(directory, path)
    except OSError as refused:
        if refused.errno != errno.ELOOP:
            raise
        descriptor = open_file(directory, _in_sys(directory, path))
    try:
        name = path.rpartition(b"/")[2]
        first = os.read(descriptor, _FIRST)
        if not first or (len(first) < _FIRST and name in ONE_PIECE):
            return first
        return _rest(descriptor, first, _LIMITS.get(name, LIMIT), progress, enough)
    finally:
        os.close(descriptor)
        progress()


def _in_sys(directory: int, path: bytes) -> bytes:
    """The target of a link of procfs itself to a file that moved to /sys (fs/xfs/stat).

    OSError(ELOOP) for any other link.
    """
    text = os.readlink(path, dir_fd=directory)
    if not text.startswith(b"/sys/fs/"):
        raise error(errno.ELOOP)
    return text


def _rest(
    descriptor: int, first: bytes, limit: int, progress: Callable[[], None], enough: int
) -> bytes:
    # Pieces in a list would be in memory twice while they are joined.
    whole = BytesIO()
    have = whole.write(first)
    while (not enough or have <= enough) and (piece := os.read(descriptor, CHUNK)):
        have += whole.write(piece)
        if have > limit:
            raise error(errno.EFBIG)
        progress()
    return whole.getvalue()
