"""How many threads a user has, which is what the kernel counts for RLIMIT_NPROC.

Source: /proc/PID/status, uid_map and ns/user of each process; getrlimit(2), kernel/ucount.c.

The kernel counts threads by real user and user namespace, zombies too, and tells the number
nowhere. What is in a namespace that the user made counts for the user outside as well, whatever
user it is there. A process counts for the real user of its first thread. Only processes that the
requester may see are counted, and it is said what may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EACCES, EPERM
from typing import NamedTuple, TypeVar

from procmirror.decoding.view import Incomplete, Reading

T = TypeVar("T")

# So many processes are looked at, each for some twenty microseconds, and so many bytes of status:
# the kernel takes milliseconds for that of one in 65,536 groups, which has 450 KB.
MOST, MOST_BYTES = 2048, 8 << 20
# After so many refusals no further namespace is asked for, as a policy may log each.
_MOST_REFUSED = 8
_UID, _THREADS = re.compile(rb"\nUid:\t(\d+)\t"), re.compile(rb"\nThreads:\t(\d+)\n")


class Counted(NamedTuple):
    """Threads of a user, None if they cannot be counted, and why the number may be another."""

    threads: int | None
    incomplete: tuple[Incomplete, ...] = ()


class _Process(NamedTuple):
    """What a process tells of itself: the length of its status is in bytes."""

    number: str
    uid: int
    threads: int
    size: int


def counted(reading: Reading, uid: int, space: str | None) -> Counted:
    """The threads of a real user in a user namespace; OSError if no process is seen.

    Without a namespace, which is one that may not be read, those of the user id.
    """
    where, numbers = _root(reading)
    if len(numbers) > MOST:
        return _not_counted(f"more than {MOST} processes")
    sees_all = _sees_all(reading, where)
    tally = _Tally(_Namespaces(reading, where, space), uid)
    size = 0
    for number in numbers:
        with suppress(FileNotFoundError, ProcessLookupError):
            one = _process(reading, where, number)
            size += one.size if one else 0
            tally.add(one)
        if size > MOST_BYTES:
            return _not_counted(f"more than {MOST_BYTES} bytes of status of all processes")
    reasons = list(tally.reasons())
    if not sees_all:
        reasons.append("processes that you do not see count too")
    return Counted(tally.own, tuple(Incomplete("used", words) for words in reasons))


def _not_counted(why: str) -> Counted:
    return Counted(None, (Incomplete("used", why),))


class _Namespaces:
    """Whether processes are in the user namespace of the process that is looked at.

    FileNotFoundError or ProcessLookupError of one that has ended.
    """

    def __init__(self, reading: Reading, where: str, space: str | None) -> None:
        self._reading, self._where, self._space = reading, where, space
        self._refused = 0
        self._users: bytes | None = b""
        with suppress(FileNotFoundError):
            self._users = self._answer(lambda: reading.read("uid_map"))

    def has(self, number: str) -> bool | None:
        """Whether a process is in it; None if that may not be read."""
        if self._space is None:
            return None
        link = self._answer(lambda: self._reading.link(f"{self._where}{number}/ns/user"))
        return None if link is None else link == self._space

    def may_have(self, number: str) -> bool | None:
        """Whether a process of another user may be in it; None if that may not be read.

        Everybody may read which users a namespace has, but for a policy.
        """
        users = self._answer(lambda: self._reading.read(f"{self._where}{number}/uid_map"))
        return None if None in {users, self._users} else users == self._users

    def _answer(self, ask: Callable[[], T]) -> T | None:
        if self._refused >= _MOST_REFUSED:
            return None
        try:
            return ask()
        except (FileNotFoundError, ProcessLookupError):
            raise
        except OSError as refusal:
            self._refused += refusal.errno in {EACCES, EPERM}
            return None


class _Tally:
    """Threads that count, and those of which that is not known."""

    def __init__(self, namespaces: _Namespaces, uid: int) -> None:
        self._namespaces, self._uid = namespaces, uid
        self.own = 0
        self._elsewhere = self._unknown = self._unknown_others = self._unread = 0

    def add(self, one: _Process | None) -> None:
        """Count a process; None is one that does not tell its user."""
        if one is None:
            self._unread += 1
            return
        if one.uid == self._uid:
            there = self._namespaces.has(one.number)
            self.own += one.threads if there is not False else 0
            self._unknown += one.threads if there is None else 0
        else:
            there = self._namespaces.may_have(one.number)
            self._unknown_others += one.threads if there is None else 0
        self._elsewhere += one.threads if there is False else 0

    def reasons(self) -> Iterator[str]:
        """Why the number may be another."""
        for words, count in (
            ("threads whose user namespace may not be read", self._unknown),
            ("threads of other users, whose user namespace may not be read", self._unknown_others),
            ("threads in other user namespaces, which may count too", self._elsewhere),
            ("processes whose status may not be read", self._unread),
        ):
            if count:
                yield f"{words}: {count}"


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


def _process(reading: Reading, where: str, number: str) -> _Process | None:
    """What a process tells of itself, None if that may not be read or is not understood.

    FileNotFoundError or ProcessLookupError of one that has ended.
    """
    try:
        status = reading.read(f"{where}{number}/status")
    except (FileNotFoundError, ProcessLookupError):
        raise
    except OSError:
        return None
    uid, threads = _UID.search(status), _THREADS.search(status)
    return _Process(number, int(uid[1]), int(threads[1]), len(status)) if uid and threads else None


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
