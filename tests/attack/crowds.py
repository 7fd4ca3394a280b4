"""One user who has, or asks for, very much of something.

As a program: `python -m tests.attack.crowds KIND MIRROR USER`. KIND is `groups` (requests of a member
of 65,535 groups, by one thread and by a hundred), `descriptors` (20,000 of them, listed from far
places), `threads` (a thousand that read), `names` (these, and a
hundred that look up names in the root), `created` (these, and a hundred that open names in the
root with O_CREAT), `listings` (thirty that list the root), `pulses` (workers of
one's own namespace that are stopped for a moment, again and again), `mounts` (forty threads that look up names
and read links in a mount namespace with 11,000 mounts, each on top of the one before), `slow` (a
hundred that read six megabytes of arguments of 24 processes), `view` (three hundred that read one
view of a process with four thousand threads, which takes long).
"""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.attack import large, users

_GROUPS, _DESCRIPTORS, _THREADS = 65_535, 20_000, 1_000
_LARGE, _SLOW_THREADS, _LOOKING, _LISTING, _READING = 24, 100, 100, 30, 300
_STACK = 1 << 18
# MiB that are just not too many to be looked at.
_MOUNTS, _ASKING, _BIND, _PRIVATE = 11_000, 20, 4096, 0x44000
_FIRST_SUBORDINATE = 1_000_000


def _for_ever(count: int, step: Callable[[], object]) -> None:
    def run() -> None:
        while True:
            with suppress(OSError):
                step()

    threading.stack_size(_STACK)
    for _ in range(count):
        threading.Thread(target=run, daemon=True).start()


def _opened(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def _groups(mirror: str, user: int, threads: int) -> None:
    """Root of a user namespace with 65,536 subordinate groups, as newgidmap(1) gives them."""
    ours, theirs = os.pipe()
    back, forth = os.pipe()
    pid = os.fork()
    if pid == 0:
        users.die_with_parent()
        users.become(user)
        users.check(users.libc.unshare(users.CLONE_NEWUSER))
        os.write(theirs, b"x")
        os.read(back, 1)
        os.setgroups(list(range(1, _GROUPS + 1)))
        users.dumpable()
        _for_ever(threads, lambda: _opened(f"{mirror}/sys/kernel/hostname"))
        _for_ever(threads, lambda: _opened(f"{mirror}/version"))
        os.write(theirs, b"y")
        threading.Event().wait()
    os.read(ours, 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{pid}/{kind}_map", "w", encoding="ascii") as ids:
            ids.write(f"0 {user} 1\n1 {_FIRST_SUBORDINATE} {_GROUPS}\n")
    os.write(forth, b"x")
    os.read(ours, 1)
    users.held(pid)
    os.kill(pid, 9)


def _descriptors(mirror: str, user: int) -> None:
    """Listings of many descriptors, read from their ends by turns."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    users.become(user)
    count = 0
    with suppress(OSError):
        while True:
            os.dup(0)
            count += 1

    def listed() -> None:
        directory = os.open(f"{mirror}/{os.getpid()}/fd", os.O_RDONLY | os.O_DIRECTORY)
        try:
            for place in (count - 20, 10, count - 200, 100) * 5:
                os.lseek(directory, place, os.SEEK_SET)
                users.getdents(directory)
        finally:
            os.close(directory)

    os.closerange(count - 20, count)
    _for_ever(8, listed)
    users.held(count)


def _stopped(mirror: str, user: int) -> None:
    """Lookups in directories by workers of one's own namespace, which are stopped all the while."""
    users.become(user)
    target = os.getppid()
    users.enter_namespaces(user, users.CLONE_NEWUSER)
    numbers = itertools.count()

    def looked_up(directory: str) -> None:
        with suppress(OSError):
            os.stat(f"{mirror}/sys/kernel/ostype")
        # All that this user may signal, but for this process: the workers in the namespace.
        with suppress(OSError):
            os.kill(-1, signal.SIGSTOP)
        os.stat(f"{mirror}/{directory}/{next(numbers)}")

    _for_ever(2, lambda: looked_up("sys"))
    _for_ever(2, lambda: looked_up(f"{target}/fd"))
    _for_ever(1, lambda: looked_up("."))
    users.held(0)


def _pulses(mirror: str, user: int) -> None:
    """Names opened with O_CREAT, by workers that are stopped for a moment, again and again.

    None is stopped for so long that it would be given up.
    """
    users.become(user)
    users.enter_namespaces(user, users.CLONE_NEWUSER)
    numbers = itertools.count()
    flags = os.O_RDONLY | os.O_CREAT
    _for_ever(2 * _LOOKING, lambda: os.open(f"{mirror}/sys/none-{next(numbers)}", flags))

    def pulse() -> None:
        for number, seconds in ((signal.SIGSTOP, 0.05), (signal.SIGCONT, 0.004)):
            with suppress(OSError):
                os.kill(-1, number)
            time.sleep(seconds)

    _for_ever(1, pulse)
    users.held(0)


def _threads(mirror: str, user: int) -> None:
    """A thousand threads that read."""
    users.become(user)
    _for_ever(_THREADS, lambda: _opened(f"{mirror}/1/status.json"))
    users.held(_THREADS)


def _names(mirror: str, user: int) -> None:
    """Lookups in the root of names that nobody has, among many other requests of the same user."""
    users.become(user)
    numbers = itertools.count()
    _for_ever(_THREADS, lambda: _opened(f"{mirror}/1/status.json"))
    _for_ever(_LOOKING, lambda: os.stat(f"{mirror}/none-{next(numbers)}"))
    users.held(_LOOKING)


def _created(mirror: str, user: int) -> None:
    """Names that nobody has, opened with O_CREAT, among many other requests of the same user.

    The kernel locks the directory against everybody while it looks such a name up.
    """
    users.become(user)
    numbers = itertools.count()
    flags = os.O_RDONLY | os.O_CREAT
    _for_ever(_THREADS, lambda: _opened(f"{mirror}/1/status.json"))
    _for_ever(_LOOKING, lambda: os.open(f"{mirror}/none-{next(numbers)}", flags))
    users.held(_LOOKING)


def _listings(mirror: str, user: int) -> None:
    """Processes that read the root, again and again, each by a descriptor of its own."""
    users.become(user)

    def listed() -> None:
        directory = os.open(mirror, os.O_RDONLY | os.O_DIRECTORY)
        while True:
            os.lseek(directory, 0, os.SEEK_SET)
            users.getdents(directory)

    for _ in range(_LISTING):
        if os.fork() == 0:
            users.die_with_parent()
            listed()
    users.held(_LISTING)


def _mounts(mirror: str, user: int) -> None:
    """Names and links, asked for where /proc is another one behind half a second of mounts."""
    users.become(user)
    users.enter_namespaces(user)
    users.mount("none", "/", "", "", _PRIVATE)
    users.mount("none", "/mnt", "tmpfs", "size=1m")
    os.mkdir("/mnt/x")
    for _ in range(_MOUNTS):
        users.mount("/mnt/x", "/mnt/x", "", "", _BIND)
    users.mount("none", "/proc", "tmpfs", "size=1m")
    numbers = itertools.count()
    flags = os.O_RDONLY | os.O_CREAT
    _for_ever(_ASKING, lambda: os.stat(f"{mirror}/1/status"))
    _for_ever(2, lambda: os.open(f"{mirror}/none-{next(numbers)}", flags))
    _for_ever(_ASKING, lambda: os.readlink(f"{mirror}/self/exe"))
    users.held(_MOUNTS)


def _slow(mirror: str, user: int) -> None:
    """A hundred threads that read what takes long to decode."""
    large.lift_limits()
    users.become(user)
    arguments = [b"\xff" * large.ARGUMENT] * large.ARGUMENTS
    made = [large.run("/bin/sh", b"-c", b"kill -STOP $$", *arguments) for _ in range(_LARGE)]
    numbers = itertools.cycle(made)

    def read() -> None:
        descriptor = os.open(f"{mirror}/{next(numbers)}/cmdline.json", os.O_RDONLY)
        try:
            while os.read(descriptor, 1 << 17):
                pass
        finally:
            os.close(descriptor)

    _for_ever(_SLOW_THREADS, read)
    users.held(made)
    for pid in made:
        os.kill(pid, signal.SIGKILL)


def _view(mirror: str, user: int) -> None:
    """Threads that read the same view of a process, whose number is told."""
    users.become(user)
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        users.die_with_parent()
        _for_ever(4 * _THREADS, lambda: time.sleep(1000))
        os.write(theirs, b"x")
        threading.Event().wait()
    os.read(ours, 1)

    def read() -> None:
        descriptor = os.open(f"{mirror}/{pid}/task.json", os.O_RDONLY)
        try:
            while os.read(descriptor, 1 << 17):
                pass
        finally:
            os.close(descriptor)

    _for_ever(_READING, read)
    users.held(pid)


def _main() -> None:
    kind, mirror, user = sys.argv[1], sys.argv[2], int(sys.argv[3])
    {
        "group": lambda: _groups(mirror, user, 1),
        "groups": lambda: _groups(mirror, user, 50),
        "descriptors": lambda: _descriptors(mirror, user),
        "stopped": lambda: _stopped(mirror, user),
        "pulses": lambda: _pulses(mirror, user),
        "threads": lambda: _threads(mirror, user),
        "names": lambda: _names(mirror, user),
        "created": lambda: _created(mirror, user),
        "listings": lambda: _listings(mirror, user),
        "mounts": lambda: _mounts(mirror, user),
        "slow": lambda: _slow(mirror, user),
        "view": lambda: _view(mirror, user),
    }[kind]()
    os._exit(0)


if __name__ == "__main__":
    _main()
