"""Several readers at the same time, on one processor and on all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from tests.benchmarks import clients
from tests.benchmarks.contest import Pace
from tests.benchmarks.table import Report, written
from tests.mounting import Mount

_READERS = (1, 2, 4, 8)
# What a view is compared with: the C file system has raw files only.
_FILES = {"status": "status", "status.json": "status", "environ.txt": "environ"}
# The least throughput on all processors, as a part of that of the C file system.
_BAR = 1.0


def measured(report: Report, pace: Pace, mount: Mount, other: Path, pid: int) -> None:
    """Files a second, on one processor, and on all against the C file system with its threads."""
    ours = {name: mount.path / str(pid) / name for name in _FILES}
    theirs = {name: other / str(pid) / raw for name, raw in _FILES.items()}
    seconds = min(1.0, 0.02 * pace.rounds)
    report.part("files a second by so many readers", *map(str, _READERS))
    _row(report, "passthrough_ll: status", theirs["status"], seconds)
    for name, path in ours.items():
        _row(report, f"here: {name}", path, seconds)
    with _everywhere([os.getpid(), *mount.processes(), server(other)]):
        for name in _FILES:
            pairs = [_contest(ours[name], theirs[name], count, seconds) for count in _READERS]
            _rows(report, name, pairs)


def server(place: Path) -> int:
    """The pid of the program that was told to mount at a place."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if entry.read_bytes().endswith(b"\0%b\0" % os.fsencode(place)):
                return int(entry.parent.name)
    raise OSError(f"nobody serves {place}")


def _row(report: Report, name: str, path: Path, seconds: float) -> None:
    report.row(name, *(f"{_together(number, seconds, path):,.0f}" for number in _READERS))


def _contest(ours: Path, theirs: Path, count: int, seconds: float) -> list[tuple[float, float]]:
    """The throughput of both in rounds that alternate."""
    return [
        (_together(count, seconds / 5, ours), _together(count, seconds / 5, theirs))
        for _ in range(5)
    ]


def _rows(report: Report, name: str, pairs: Sequence[Sequence[tuple[float, float]]]) -> None:
    """Both throughputs of a file by the number of readers, and their ratio."""
    for side, who in enumerate((f"here: {name}", f"passthrough_ll: {_FILES[name]}")):
        best = (max(pair[side] for pair in rounds) for rounds in pairs)
        report.row(f"{who}, on all processors", *(f"{one:,.0f}" for one in best))
    ratios = [median(here / there for here, there in rounds) for rounds in pairs]
    row = f"{name}: of its throughput"
    report.row(row, *map(written, ratios))
    if min(ratios) < _BAR:
        report.missed.append(row)


def _together(count: int, seconds: float, path: Path) -> float:
    """How many files a second a number of processes read at the same time."""
    ours, theirs = os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            done, until = 0, time.monotonic() + seconds
            while time.monotonic() < until:
                clients.content(str(path))
                done += 1
            os.write(theirs, b"%d\n" % done)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    os.close(theirs)
    with open(ours, encoding="ascii") as lines:
        return sum(map(int, lines)) / seconds


@contextmanager
def _everywhere(pids: list[int]) -> Iterator[None]:
    """Processes, their threads, and what these make meanwhile, may run on all processors."""
    here = os.sched_getaffinity(0)
    _bind(pids, set(range(os.cpu_count() or 1)))
    try:
        yield
    finally:
        _bind(pids, here)


def _bind(pids: list[int], processors: set[int]) -> None:
    for pid in pids:
        # Workers come and go.
        with suppress(FileNotFoundError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread), processors)
