"""What programs do with /proc, as functions of a place.

/proc itself, the C file system, or the mirror.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

# In pieces of what size cat(1) reads, and in which psutil does; a buffer is touched whole, however
# little comes.
_CAT, _PSUTIL = 1 << 17, 1 << 15
_JC = Path(sys.executable).with_name("jc")
# What psutil knows of what stands in PID/status, and of what stands in PID/status.json, which has
# names of users too.
_OF_STATUS = [
    "name",
    "ppid",
    "status",
    "uids",
    "gids",
    "num_threads",
    "num_ctx_switches",
    "memory_info",
]
_OF_STATUS_JSON = [*_OF_STATUS, "username", "cpu_affinity"]
_OF_PROCESS = [
    *_OF_STATUS,
    "cmdline",
    "exe",
    "cwd",
    "cpu_times",
    "create_time",
    "io_counters",
    "username",
]


def stats(path: Path) -> Callable[[], object]:
    """stat(2)."""
    return partial(os.stat, str(path))


def content(path: str, size: int = _CAT) -> bytes:
    """Open, read to the end, close, as cat does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        pieces = []
        while piece := os.read(descriptor, size):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def descriptors(process: Path) -> Callable[[], object]:
    """Each link of `fd`, and each file of `fdinfo`, as fd.txt tells of them."""

    def told() -> list[tuple[str, bytes]]:
        numbers = os.listdir(process / "fd")
        return [
            (os.readlink(f"{process}/fd/{number}"), content(f"{process}/fdinfo/{number}"))
            for number in numbers
        ]

    return told


def begins(path: Path) -> Callable[[], object]:
    """Open, read the first bytes, close, as head does."""

    def begun() -> bytes:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.read(descriptor, 4096)
        finally:
            os.close(descriptor)

    return begun


def reads(path: Path) -> Callable[[], object]:
    """`content` of one path."""
    return partial(content, str(path))


def lists(place: Path) -> Callable[[], int]:
    """The system calls of ls -l: names, attributes, texts of links; how many entries there are."""
    path = str(place)

    def listed() -> int:
        names = os.listdir(path)
        for name in names:
            try:
                if stat.S_ISLNK(os.lstat(f"{path}/{name}").st_mode):
                    os.readlink(f"{path}/{name}")
            except OSError:
                continue
        return len(names)

    return listed


def pids(place: Path | str) -> list[str]:
    """The processes of a /proc."""
    return [name for name in os.listdir(place) if name.isdigit()]


def every(
    place: Path, name: str, parse: Callable[[bytes], object] = len, size: int = _CAT
) -> Callable[[], int]:
    """A file of every process; how many there were."""
    path = str(place)

    def all_of_them() -> int:
        count = 0
        for pid in pids(path):
            try:
                parse(content(f"{path}/{pid}/{name}", size))
            except OSError:
                continue
            count += 1
        return count

    return all_of_them


def statuses_decoded(place: Path, parse: Callable[[bytes], object]) -> Callable[[], int]:
    """status.json of every process as Python's values."""
    return every(place, "status.json", parse, _PSUTIL)


def statuses_of_psutil() -> int:
    """The same fields from psutil, which reads /proc itself."""
    return sum(1 for process in psutil.process_iter(_OF_STATUS_JSON) if process.info)


def eight_of_psutil() -> int:
    """Fewer of them: those for which it asks nothing but the files of a process."""
    return sum(1 for process in psutil.process_iter(_OF_STATUS) if process.info)


def processes_decoded(place: Path, parse: Callable[[bytes], object]) -> Callable[[], int]:
    """processes.ndjson as Python's values, one process after the other; how many there were."""
    path = str(place / "processes.ndjson")

    def all_of_them() -> int:
        with open(path, "rb") as lines:
            return sum(1 for line in lines if parse(line))

    return all_of_them


def processes_of_psutil() -> int:
    """Fifteen fields of every process from psutil's as_dict, of a process that was not looked at before."""
    found = 0
    for pid in psutil.pids():
        try:
            found += bool(psutil.Process(pid).as_dict(_OF_PROCESS))
        except psutil.NoSuchProcess:
            continue
    return found


def processes_of_psutil_again() -> int:
    """The same by process_iter, whose processes remember from the last time what program they run and when they began."""
    return sum(1 for process in psutil.process_iter(_OF_PROCESS) if process.info)


def command(*arguments: str | Path) -> Callable[[], int]:
    """A command that must succeed, its output thrown away."""
    words = list(map(str, arguments))
    quiet = [
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]

    def run() -> int:
        _, status = os.waitpid(os.posix_spawnp(words[0], words, os.environ, file_actions=quiet), 0)
        return os.waitstatus_to_exitcode(status)

    return run


def of_jc(pid: int) -> Callable[[], int]:
    """Jc of a process's status."""
    return command(_JC, f"/proc/{pid}/status")
