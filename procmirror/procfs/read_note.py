"""What a worker reads at the moment, in memory that the daemon can look at.

A read of procfs may wait for ever for a lock that another process holds, and a worker that waits
cannot report it. So a worker notes each source of a joined view before it reads it. If the worker
then sends nothing for long, the daemon knows for which source it waits, and has another worker make
the view without that source.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import NamedTuple

from procmirror.decoding.proc_files import stat_columns
from procmirror.identity.files import READ

_BYTES = mmap.PAGESIZE
# The longest path in bytes that is noted in full.
_MOST_PATH = 256
# Sources of a process for which the kernel takes its memory lock (mmap_lock; fs/proc/task_mmu.c).
_MEMORY = frozenset(
    ("cmdline", "environ", "smaps", "smaps_rollup", "numa_maps", "mem", "pagemap", "ksm_stat")
)
# Sources of a process for which the kernel takes its exec lock (exec_update_lock; fs/proc/base.c),
# besides those for which it takes both.
_EXEC = frozenset(("auxv", "io", "maps", "personality", "stack", "syscall"))
# Sources for which kernels since July 2026 take the exec lock, too, as they do for every link that
# stands for an object.
_EXEC_LATELY = frozenset(("stat", "wchan"))
_LINKS, _FOLDERS_OF_LINKS = frozenset(("cwd", "root", "exe")), ("fd/", "ns/")
# What stands for all of these links among the sources that must not be read.
LINKS = "(links)"


class ReadNote:
    """The writing side, in a worker; `descriptor` is a memfd from `new`."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _BYTES)
        self._count = 0

    def begin(self, path: str) -> None:
        """Note that the read of a source begins."""
        self._count += 1
        text = b"%d %s\0" % (self._count, path.encode("utf-8", "surrogateescape")[:_MOST_PATH])
        self._memory[: len(text)] = text

    def end(self) -> None:
        """Note that nothing is being read."""
        self._memory[0] = 0

    def close(self) -> None:
        """Close the descriptor that the memory has of its own."""
        self._memory.close()


class NoNote:
    """A note that nobody reads."""

    def begin(self, path: str) -> None:
        """Note nothing."""

    def end(self) -> None:
        """Note nothing."""

    def close(self) -> None:
        """Close nothing."""


class Reads(NamedTuple):
    """Where a reader notes its reads, and the paths or names that it must not read."""

    note: ReadNote | NoNote = NoNote()
    left_out: frozenset[str] = frozenset()

    def of_process(self) -> Reads:
        """The same for the sources of one process, without all that wait for the same locks."""
        return Reads(self.note, frozenset().union(*map(waits_likewise, self.left_out)))


class Noted(NamedTuple):
    """A read that has begun: its number among the reads of the worker, and its path."""

    read: int
    path: str


def new() -> int:
    """A descriptor of an empty note; without room where the limit of the size of files is small."""
    descriptor = os.memfd_create("procmirror reads", os.MFD_CLOEXEC)
    with suppress(OSError):
        os.ftruncate(descriptor, _BYTES)
    return descriptor


def written_to(descriptor: int) -> ReadNote | NoNote:
    """The writing side of a note from `new`."""
    return ReadNote(descriptor) if os.fstat(descriptor).st_size else NoNote()


def noted(descriptor: int) -> Noted | None:
    """The read that a worker is in; None if there is none, or if the note is malformed.

    Root of a container may write to the memory of a worker there, so a note may contain anything.
    """
    try:
        raw = os.pread(descriptor, _MOST_PATH + 32, 0)
    except OSError:
        return None
    count, blank, path = raw.partition(b"\0")[0].partition(b" ")
    if not blank or not count.isdigit() or len(count) > 20:
        return None
    return Noted(int(count), path.decode("utf-8", "surrogateescape"))


def is_blocked(own: int, pid: int | str) -> bool:
    """Whether the kernel keeps a process from running, by its state in the procfs `own`.

    `pid` is its number, or the path of the directory of one of its threads.
    A process that only waits for a processor does not count. True if the state may not be read.
    """
    return _state(own, pid) in {b"D", b"S", b""}


def could_run(own: int, pid: int | str) -> bool:
    """Whether a process runs, or waits for nothing but a processor; `own` and `pid` as above."""
    return _state(own, pid) == b"R"


def _state(own: int, pid: int | str) -> bytes:
    """The letter of proc_pid_stat(5); empty if it may not be read."""
    try:
        descriptor = os.open(f"{pid}/stat", READ, dir_fd=own)
        with open(descriptor, "rb") as stat:
            return stat_columns(stat.read())[0]
    except (OSError, IndexError):
        return b""


def waits_likewise(path: str) -> frozenset[str]:
    """The sources that wait for the same lock as the one at `path`: names, or the path.

    While the memory lock of a process is held, recent kernels still answer `maps`.
    """
    name = path.rpartition("/")[2]
    if name in _EXEC_LATELY:
        return _MEMORY | _EXEC | _EXEC_LATELY | {LINKS}
    if is_link_of_object(path):
        return _MEMORY | _EXEC | {LINKS}
    if name in _EXEC:
        return _MEMORY | _EXEC
    return _MEMORY if name in _MEMORY else frozenset((path,))


def is_link_of_object(path: str) -> bool:
    """Whether the entry at `path` below the directory of a process is a magic link."""
    folder, _, name = path.rpartition("/")
    return name in _LINKS or f"{folder}/".endswith(_FOLDERS_OF_LINKS)
