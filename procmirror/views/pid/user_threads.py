"""How many threads a user has, which is what the kernel counts for RLIMIT_NPROC.

Source: /proc/PID/status and ns/user of each process; getrlimit(2), kernel/ucount.c.

The kernel counts threads by real user and user namespace, zombies too, and tells the number
nowhere. What is in a namespace that the user made counts for the user outside as well. A process
counts for the real user of its first thread. Only processes that the requester may see are counted,
and it is said what may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from errno import EACCES
from typing import NamedTuple

from procmirror.decoding.view import Incomplete, Reading

# So many processes are looked at, each for some twenty microseconds.
MOST = 2048
# After so many refusals no further namespace is asked for.
_MOST_REFUSED = 8
_TOLD = re.compile(
    rb"\nUid:\t(\d+)\t.*?\nNStgid:((?:\t\d+)+)\n(?:.*?\n)?Threads:\t(\d+)\n|"
    rb"\nUid:\t(\d+)\t.*?\nThreads:\t(\d+)\n",
    re.DOTALL,
)


class Counted(NamedTuple):
    """Threads of a user, None if they cannot be counted, and why the number may be another."""

    threads: int | None
    incomplete: tuple[Incomplete, ...] = ()


class _Process(NamedTuple):
    number: str
    uid: int
    threads: int
    nested: bool


def counted(reading: Reading, uid: int, space: str | None) -> Counted:
    """The threads of a real user in a user namespace; OSError if no process is seen.

    Without a namespace, which is one that may not be read, those of the user id.
    """
    where, numbers = _root(reading)
    if len(numbers) > MOST:
        return Counted(None, (Incomplete("used", f"more than {MOST} processes"),))
    sees_all = _sees_all(reading, where)
    found = list(_processes(reading, where, numbers))
    own = others = unknown = refused = 0
    for one in found if space else ():
        if one.uid != uid and not one.nested:
            continue
        # A policy may log each refusal.
        asks = refused < _MOST_REFUSED
        there = user_namespace(reading, f"{where}{one.number}/") if asks else None
        refused += there is None
        if there and there != space:
            others += one.threads
        elif one.uid == uid:
            own += one.threads
            unknown += 0 if there else one.threads
    if space is None:
        own = unknown = sum(one.threads for one in found if one.uid == uid)
    reasons = {
        f"threads whose user namespace may not be read: {unknown}": unknown,
        f"threads in other user namespaces, which may count too: {others}": others,
        "processes that you do not see count too": not sees_all,
    }
    told = [Incomplete("used", words) for words, holds in reasons.items() if holds]
    return Counted(own, tuple(told))


def _root(reading: Reading) -> tuple[str, list[str]]:
    """Where the processes are, seen from a process or a thread, and their numbers."""
    for where in ("..", "../../.."):
        names = reading.names(where)
        if "self" in names:
            return f"{where}/", [name for name in names if name.isdecimal()]
    raise FileNotFoundError(2, "no directory of processes")


def user_namespace(reading: Reading, directory: str = "") -> str | None:
    """The user namespace of a process; None if it may not be read."""
    try:
        return reading.link(f"{directory}ns/user")
    except OSError:
        return None


def _processes(reading: Reading, where: str, numbers: list[str]) -> Iterator[_Process]:
    """What each process tells of itself; those that ended meanwhile are left out."""
    for number in numbers:
        try:
            match = _TOLD.search(reading.read(f"{where}{number}/status"))
        except OSError:
            continue
        if match:
            uid, spaces, threads = match[1] or match[4], match[2] or b"", match[3] or match[5]
            yield _Process(number, int(uid), int(threads), spaces.count(b"\t") > 1)


def _sees_all(reading: Reading, where: str) -> bool:
    """Whether no process is hidden: the first is there, and the second is the kernel's.

    In a pid namespace below the first one, 2 is no thread of the kernel. OSError(EACCES) where a
    policy refuses the first: each refusal of another process would stand in the log of the machine.
    """
    try:
        reading.read(f"{where}1/status")
        second = reading.read(f"{where}2/status")
    except OSError as refused:
        if refused.errno == EACCES:
            raise
        return False
    return b"\nPPid:\t0\n" in second and b"\nVmSize:" not in second
