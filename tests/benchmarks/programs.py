"""Whole programs over the mirror, against the same over the C file system."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from tests.benchmarks.clients import command
from tests.benchmarks.contest import Action, Pace, Sample, contest
from tests.benchmarks.readers import server
from tests.benchmarks.table import BARS, Report, written
from tests.harness import until
from tests.programs import running

# Names in a process's directory, and descriptors of another: machines allow 20,000 and more.
_NAMES, _DESCRIPTORS = 5000, 19_900
_OPENS = (
    "import os, resource, time\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {most}))\n"
    "[os.open('/dev/null', os.O_RDONLY) for _ in range({count})]\n"
    "time.sleep(9999)"
)
# Programs that look below a place, with MNT for it and PID for a process of many names. PEER is the
# C file system, which holds a descriptor for each file that the kernel knows of it, so that a
# program that lists its descriptors makes more of them.
_BELOW = {
    "find -xdev of everything": "find MNT -xdev -path MNT/PEER -prune -o -print",
    "find of a process with 5,000 names": "find MNT/PID",
    "ls -l of every fd": "ls -l $(printf '%s\n' MNT/[0-9]*/fd | grep -v /PEER/)",
    "grep -rs of sys": "grep -rs word MNT/sys",
    "cat of every smaps_rollup": "cat MNT/[0-9]*/smaps_rollup",
}
# Programs that look at /proc, where the place is bound.
_AT_PROC = ("pstree -p", "ps -eLf", "ps aux", "top -b -n1", "lsof -n -p ^PEER", "ss -tanp")
_LSOF = "lsof of 19,900 descriptors"
# What stands for the time of the C file system where its answers are errors (EMFILE).
_NONE_LEFT = "no descriptor left"
ROWS = (*_BELOW, *_AT_PROC, _LSOF)
BARS |= dict.fromkeys(ROWS, 1.0)


@contextmanager
def _bound(place: Path, peer: int) -> Iterator[list[str]]:
    """The words that run a command in a mount namespace in which a place is bound over /proc.

    The descriptors of the process `peer` are not there: `ss` leaves out no process. The rest is, as
    /proc/self of the C file system leads to it.
    """
    script = 'mount --bind "$0" /proc && mount -t tmpfs none /proc/$1/fd && echo && exec sleep 9999'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with subprocess.Popen([*words, str(place), str(peer)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"\n":
                raise OSError(f"{place} is not bound over /proc")
            yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        finally:
            holder.kill()


@contextmanager
def _of_descriptors(count: int) -> Iterator[int]:
    """The pid of a process with at least so many descriptors."""
    opens = _OPENS.format(most=count + 100, count=count)
    with running(sys.executable, "-c", opens) as pid:
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) > count, "files are not opened")
        yield pid


def _actions(place: Path, pid: int, peer: int, enter: list[str]) -> dict[str, Action]:
    """Each program over a place. What it refuses, or what ends meanwhile, is no mistake."""

    def program(words: str, *before: str) -> Action:
        return command(*before, "sh", "-c", _filled(words, place, pid, peer) + "; true")

    found = {name: program(words) for name, words in _BELOW.items()}
    return found | {words: program(words, *enter) for words in _AT_PROC}


def _filled(words: str, place: Path, pid: int, peer: int) -> str:
    for name, value in {"MNT": str(place), "PID": str(pid), "PEER": str(peer)}.items():
        words = words.replace(name, value)
    return words


def _lines(name: str, place: Path, pid: int, peer: int) -> int:
    """How many names a find tells over a place; 0 for another program."""
    if not name.startswith("find"):
        return 0
    words = _filled(_BELOW[name], place, pid, peer)
    return subprocess.run(words, shell=True, check=False, capture_output=True).stdout.count(b"\n")


def _forgotten(place: Path) -> None:
    """Have the kernel forget the names of a file system that no program uses."""
    subprocess.run(["mount", "-i", "-o", "remount", place], check=True)


def _lists(place: Path, pid: int) -> bool:
    """Whether a file system still lists all descriptors of a process."""
    with suppress(OSError):
        return len(os.listdir(place / str(pid) / "fd")) == len(os.listdir(f"/proc/{pid}/fd"))
    return False


def _row(
    report: Report,
    name: str,
    samples: list[Sample],
    other: Path,
    pid: int,
    counts: Sequence[int] = (0, 0),
) -> None:
    """A row against the C file system, if that has answered.

    And one for each name, where a program tells names, so many over theirs and ours: the mirror has
    more of them.
    """
    their, our = samples
    if _lists(other, pid):
        report.ratio(name, our, "passthrough_ll", their, None)
        if all(counts):
            theirs, ours = counts
            label = f"{name}: a name, of {theirs:,} and of {ours:,}"
            report.ratio(label, our.per(ours), "passthrough_ll", their.per(theirs), None)
    else:
        micro = written(1e6 * our.median)
        report.row(name, "passthrough_ll", "", _NONE_LEFT, micro, "", "", "", "not measured")


def measured(report: Report, pace: Pace, mirror: Path, other: Path) -> None:
    """A row for each program; with fewer rounds, as each takes a second or so.

    The process of so many descriptors begins after the programs that look at all processes.
    """
    pace = Pace(min(pace.rounds, 7), pace.seconds)
    with ExitStack() as held:
        pid = held.enter_context(_of_descriptors(_NAMES // 2))
        peer, forgotten = server(other), partial(_forgotten, other)
        bound = [(place, held.enter_context(_bound(place, peer))) for place in (other, mirror)]
        theirs, ours = (_actions(place, pid, peer, enter) for place, enter in bound)
        for name in theirs:
            forgotten()
            samples = contest(pace, theirs[name], ours[name], before=forgotten)
            forgotten()
            counts = [_lines(name, place, pid, peer) for place in (other, mirror)]
            _row(report, name, samples, other, pid, counts)
        many = held.enter_context(_of_descriptors(_DESCRIPTORS))
        forgotten()
        samples = contest(pace, *(_lsof(many, enter) for _, enter in bound), before=forgotten)
        _row(report, _LSOF, samples, other, many)


def _lsof(pid: int, enter: list[str]) -> Action:
    return command(*enter, "lsof", "-n", "-p", str(pid))
