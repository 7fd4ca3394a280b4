"""One process that makes system calls that chance chooses: on mirrors, and on /proc beside.

A call that the kernel and a mirror should answer alike is made three times with chance in the same
state: of the kernel, of the mirror, of the kernel again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from random import Random
from typing import NamedTuple, TypeAlias

from tests.attack import file_calls, path_calls
from tests.attack.chances import changing_flags, reading_flags

_SIBLINGS = (".folded", ".json", ".ndjson", ".txt")
# What a mirror may always say: it has too much to do, or this account holds too much.
_BUSY = {errno.EBUSY, errno.ETIMEDOUT, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}
# What a process sees of itself through the mirror is that it waits; what is judged at each read knows
# no self; and empty mount points list no attributes (docs/PERMISSIONS.md).
_OTHERWISE = (
    "io",
    "personality",
    "stack",
    "syscall",
    "timerslack_ns",
    "wchan",
    "binfmt_misc",
    "nfsd",
)
# FUSE gathers the buffers of one call; the kernel reads each of them by itself, in pieces of eight.
_BY_EIGHT = ("kpagecgroup", "kpagecount", "kpageflags", "pagemap")
# A directory of the mirror is read when it is opened, and refused if its names are: of a zombie's
# network namespace, and of map_files, which its owner may open and not list from a user namespace.
_ALREADY_READ = ("/net", "/map_files")
Call: TypeAlias = "Callable[[], int]"


class Roots(NamedTuple):
    """Descriptors of /proc and of two mirrors."""

    native: int
    read_only: int
    writable: int


class Made(NamedTuple):
    """One call: what it gave, or its errno."""

    amount: int
    error: int = 0

    def __str__(self) -> str:
        return errno.errorcode.get(self.error, str(self.error)) if self.error else str(self.amount)


Thrice: TypeAlias = "tuple[Made, Made, Made]"


def made(call: Call) -> Made:
    """What comes of a call."""
    try:
        return Made(call())
    except OSError as refused:
        return Made(0, refused.errno or errno.EIO)


def comparable(path: str) -> bool:
    """Whether the kernel has such a name too: no view and no index."""
    return (
        bool(path) and not path.startswith(("by-", "README", "/")) and not path.endswith(_SIBLINGS)
    )


def leaked(before: Made, mirror: Made, after: Made) -> bool:
    """Whether the mirror let in, or gave bytes, where the kernel does neither before nor after."""
    refused = bool(before.error and after.error)
    nothing = not (before.error or after.error or before.amount or after.amount)
    return not mirror.error and (refused or (nothing and mirror.amount > 0))


def kept(before: Made, mirror: Made, after: Made) -> bool:
    """Whether the mirror refused, for no reason of its own, what the kernel allows twice."""
    return bool(mirror.error and mirror.error not in _BUSY and not before.error | after.error)


def came_and_went(path: str, answers: Thrice) -> bool:
    """Whether it is a descriptor that was not there before and after: its process has it at times."""
    before, _, after = answers
    is_descriptor = "/fd/" in path or "/fdinfo/" in path
    return is_descriptor and before.error == after.error == errno.ENOENT


class Caller:
    """One process that makes calls.

    `say` is told of each call before it is made, `find` of what the mirror answered wrongly.
    """

    def __init__(
        self,
        chance: Random,
        roots: Roots,
        say: Callable[[str, str], None],
        find: Callable[[str, str, str, str], None],
    ) -> None:
        self._chance, self._roots, self._say, self._find = chance, roots, say, find
        self._me = str(os.getpid())

    def step(self, path: str) -> None:
        """What chance does with a path."""
        path = path.replace("{me}", self._me)
        mirror = self._chance.choice((self._roots.read_only, self._roots.writable))
        chosen = self._chance.random()
        if chosen < 0.25:
            self._ask(mirror, path)
        elif chosen < 0.4:
            self._ask_alone(mirror, path)
        elif chosen < 0.5:
            self._change(mirror, path)
        elif chosen < 0.8 and comparable(path):
            self._open(mirror, path)
        else:
            self._open_alone(mirror, path)

    def _alone(self, name: str, path: str, call: Call) -> Made:
        self._say(name, path)
        return made(call)

    def _thrice(self, name: str, path: str, calls: list[Call]) -> Thrice:
        self._say(name, path)
        state = self._chance.getstate()
        answers = []
        for call in calls:
            self._chance.setstate(state)
            answers.append(made(call))
        before, mirror, after = answers
        return before, mirror, after

    def _judge(self, name: str, path: str, answers: Thrice) -> None:
        kind = "leak" if leaked(*answers) else "kept" if kept(*answers) else ""
        expected = path.endswith(_OTHERWISE) or (
            (path.endswith(_ALREADY_READ) and kind == "kept")
            or (path.endswith(_BY_EIGHT) and name == "_preadv2")
            or (kind == "leak" and came_and_went(path, answers))
        )
        if kind and not expected:
            self._find(kind, name, path, " ".join(map(str, answers)))

    def _ask(self, mirror: int, path: str) -> None:
        call = self._chance.choice(path_calls.ASKING)
        name = call.__name__
        if comparable(path):
            roots = (self._roots.native, mirror, self._roots.native)
            calls = [partial(call, self._chance, root, path) for root in roots]
            self._judge(name, path, self._thrice(name, path, [*calls]))
        else:
            self._alone(name, path, partial(call, self._chance, mirror, path))

    def _ask_alone(self, mirror: int, path: str) -> None:
        call = self._chance.choice((*path_calls.OTHERWISE, *path_calls.REFUSED))
        name = call.__name__
        done = self._alone(name, path, partial(call, self._chance, mirror, path))
        if call in path_calls.REFUSED and done.amount:
            self._find("changed", name, path, str(done))

    def _change(self, mirror: int, path: str) -> None:
        """Open for writing; write to entries of this process alone."""
        own = path.startswith(f"{self._me}/")
        if os.geteuid() == 0 and not own and mirror == self._roots.writable:
            return
        flags = changing_flags(self._chance)
        opening = partial(path_calls.opened, self._chance, mirror, path, flags)
        opened = self._alone("open to change", path, opening)
        if opened.error:
            return
        if mirror == self._roots.read_only:
            self._find("changed", "open", path, f"{flags:o}")
        try:
            for _ in range(self._chance.randrange(4) if own else 0):
                call = self._chance.choice(file_calls.CHANGING)
                self._alone(call.__name__, path, partial(call, self._chance, opened.amount))
        finally:
            os.close(opened.amount)

    def _open(self, mirror: int, path: str) -> None:
        flags = reading_flags(self._chance)
        roots = (self._roots.native, mirror, self._roots.native)
        calls = [partial(path_calls.opened, self._chance, root, path, flags) for root in roots]
        answers = self._thrice("open", path, [*calls])
        with ExitStack() as opened:
            for answer in answers:
                if not answer.error:
                    opened.callback(os.close, answer.amount)
            self._judge("open", path, answers)
            if not any(answer.error for answer in answers):
                self._use([answer.amount for answer in answers], path)

    def _use(self, descriptors: list[int], path: str) -> None:
        for _ in range(self._chance.randrange(1, 6)):
            call = self._chance.choice(file_calls.READING)
            calls = [partial(call, self._chance, descriptor) for descriptor in descriptors]
            before, mirror, after = self._thrice(call.__name__, path, [*calls])
            # FUSE is not asked for no bytes, and where a directory stands is its own.
            by_place = call in file_calls.BY_PLACE and not mirror.error
            if (mirror.amount or mirror.error) and not by_place:
                self._judge(call.__name__, path, (before, mirror, after))

    def _open_alone(self, mirror: int, path: str) -> None:
        flags = reading_flags(self._chance)
        opening = partial(path_calls.opened, self._chance, mirror, path, flags)
        opened = self._alone("open", path, opening)
        if opened.error:
            return
        try:
            for _ in range(self._chance.randrange(1, 6)):
                call = self._chance.choice((*file_calls.OTHERWISE, *file_calls.READING))
                self._alone(call.__name__, path, partial(call, self._chance, opened.amount))
        finally:
            os.close(opened.amount)
