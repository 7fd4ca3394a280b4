"""Whole programs over the mirror, against the same over the C file system."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.benchmarks.clients import command
from tests.benchmarks.contest import Action, Pace, contest
from tests.benchmarks.table import BARS, Report
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
# Programs that look below a place, with MNT for it and PID for a process of many names.
_BELOW = {
    "find -xdev of everything": "find MNT -xdev",
    "find of a process with 5,000 names": "find MNT/PID",
    "ls -l of every fd": "ls -l MNT/[0-9]*/fd",
    "grep -rs of sys": "grep -rs word MNT/sys",
    "cat of every smaps_rollup": "cat MNT/[0-9]*/smaps_rollup",
}
# Programs that look at /proc, where the place is bound. PEER is the C file system, which holds a
# descriptor for each file that anybody has looked at: lsof lists them all for each of its threads,
# 90,000 lines in a minute and a half, and more the longer it looks.
_AT_PROC = ("pstree -p", "ps -eLf", "ps aux", "top -b -n1", "lsof -n -p ^PEER", "ss -tanp")
_LSOF = "lsof of 19,900 descriptors"
ROWS = (*_BELOW, *_AT_PROC, _LSOF)
BARS |= dict.fromkeys(ROWS, 1.0)


@contextmanager
def _bound(place: Path) -> Iterator[list[str]]:
    """The words that run a command in a mount namespace in which a place is bound over /proc."""
    script = 'mount --bind "$0" /proc && echo && exec sleep 9999'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(place)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
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


def _server(place: Path) -> int:
    """The pid of the program that was told to mount at a place."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if entry.read_bytes().endswith(b"\0%b\0" % os.fsencode(place)):
                return int(entry.parent.name)
    raise OSError(f"nobody serves {place}")


def _actions(place: Path, pid: int, peer: int, enter: list[str]) -> dict[str, Action]:
    """Each program over a place. What it refuses, or what ends meanwhile, is no mistake."""
    shell = ("sh", "-c")
    found: dict[str, Action] = {
        name: command(*shell, words.replace("MNT", str(place)).replace("PID", str(pid)) + "; true")
        for name, words in _BELOW.items()
    }
    for words in _AT_PROC:
        found[words] = command(*enter, *shell, words.replace("PEER", str(peer)) + "; true")
    return found


def measured(report: Report, pace: Pace, mirror: Path, other: Path) -> None:
    """A row for each program; with fewer rounds, as each takes a second or so.

    The process of so many descriptors begins after the programs that look at all processes.
    """
    pace = Pace(min(pace.rounds, 7), pace.seconds)
    with ExitStack() as held:
        pid = held.enter_context(_of_descriptors(_NAMES // 2))
        bound = [(place, held.enter_context(_bound(place))) for place in (other, mirror)]
        peer = _server(other)
        theirs, ours = (_actions(place, pid, peer, enter) for place, enter in bound)
        for name in theirs:
            their, our = contest(pace, theirs[name], ours[name])
            report.ratio(name, our, "passthrough_ll", their, None)
        many = held.enter_context(_of_descriptors(_DESCRIPTORS))
        their, our = contest(pace, *(_lsof(many, enter) for _, enter in bound))
        report.ratio(_LSOF, our, "passthrough_ll", their, None)


def _lsof(pid: int, enter: list[str]) -> Action:
    return command(*enter, "lsof", "-n", "-p", str(pid))
