"""The lock in whose way a file lock is that a thread waits for: proc_locks(5), proc_pid_fdinfo(5).

`NUMBER: KIND MODE TYPE PID MAJOR:MINOR:INODE START END`, the device hexadecimal; behind the number
of a lock that is held, `->` marks each request that waits for it. A request of an open file
description (F_OFD_SETLKW) has no process, -1, and is known by its file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

MOST_LOCKS = 1 << 20  # bytes of /proc/locks
OF_OPEN_FILE = b"OFDLCK"
_LINE = re.compile(rb"(\d+): *(->)? *((\S+) +\S+ +\S+ +(-?\d+) +([0-9a-f]+):([0-9a-f]+):(\d+) .*)")
# A line of fdinfo: a lock that is held through the descriptor.
_HELD = re.compile(rb"^lock:\t\d+: *(.*)$", re.MULTILINE)


# A device as mountinfo writes it, and an inode.
File: TypeAlias = tuple[str, int]


class FileLock(NamedTuple):
    """A lock or a request: kind, process, file as (device, inode); `words` as fdinfo repeats it."""

    kind: bytes
    pid: int
    file: File
    words: tuple[bytes, ...]


InTheWay: TypeAlias = Mapping[tuple[int, File | None], list[FileLock]]


def _rows(content: bytes) -> Iterator[tuple[bytes, bool, FileLock]]:
    """Number, whether it waits, and the lock or request of each line."""
    for line in content.split(b"\n"):
        if match := _LINE.fullmatch(line):
            number, arrow, words, kind, pid, major, minor, inode = match.groups()
            file = f"{int(major, 16)}:{int(minor, 16)}", int(inode)
            yield number, bool(arrow), FileLock(kind, int(pid), file, tuple(words.split()))


def in_the_way(content: bytes) -> InTheWay:
    """The locks for which processes wait, or by -1 open file descriptions.

    By process and file; by process and None for all files. Several processes may wait with open
    file descriptions of one file, each for another lock.
    """
    found: dict[tuple[int, File | None], dict[FileLock, None]] = defaultdict(dict)
    last: tuple[bytes, FileLock] | None = None
    for number, waits, lock in _rows(content):
        if not waits:
            last = number, lock
        elif last and last[0] == number:
            found[lock.pid, lock.file][last[1]] = None
            found[lock.pid, None][last[1]] = None
    return {request: list(locks) for request, locks in found.items()}


def is_held(lock: FileLock, info: bytes) -> bool:
    """Whether the lock is held through the descriptor with this fdinfo."""
    return any(tuple(words.split()) == lock.words for words in _HELD.findall(info))
