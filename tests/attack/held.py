"""Processes that are held, or hold others, by other means than a file system of their user's.

As a program: `python -m tests.attack.held KIND USER MIRROR`. It makes processes of USER and writes
their numbers. KIND is `frozen` (in a cgroup that is frozen, below one that root has given to USER), `born`
(made in such a cgroup by clone3(2), which needs cgroups of version 2; else moved there),
`workers` (all that the kernel lets the root of a user namespace of USER's move into such a cgroup: the
workers in that namespace), `fault` (the kernel takes for the arguments a page whose faults a
userfaultfd(2) gets, which nobody answers), `path` (an open(2) waits for its path in such a page),
`secret` (the arguments are in memory of memfd_secret(2), which not even the kernel reads),
`supervised` (a system call waits for a supervisor, seccomp_unotify(2), who does not answer).
"""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tests.attack import users

_COUNT = 3
# Of x86_64 and of the generic table.
_SECRET, _FAULT = 447, {"x86_64": 323}.get(os.uname().machine, 282)
_SECCOMP, _GETPPID = {"x86_64": (317, 110)}.get(os.uname().machine, (277, 173))
_CLONE3, _CLONE_INTO_CGROUP = 435, 0x200000000
# linux/userfaultfd.h: the version, and two requests of ioctl(2).
_API, _UFFDIO_API, _UFFDIO_REGISTER, _MISSING = 0xAA, 0xC018AA3F, 0xC020AA00, 1
# linux/seccomp.h, linux/filter.h
_SET_MODE_FILTER, _NEW_LISTENER, _USER_NOTIF, _ALLOW = 1, 8, 0x7FC00000, 0x7FFF0000
_LOAD_NUMBER, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_PR_SET_NO_NEW_PRIVS = 38
# Where cgroups can be frozen: the hierarchy, the file, what freezes and what thaws.
_FREEZERS = (
    ("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"),
    ("/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0"),
    ("/sys/fs/cgroup", "cgroup.freeze", "1", "0"),
)


def _can_freeze(freezer: tuple[str, str, str, str]) -> bool:
    """Whether a hierarchy is there whose cgroups have that file; the root of all may have none."""
    top, file, _, _ = freezer
    try:
        (tried := Path(top, f"procmirror-{os.getpid()}-tried")).mkdir()
    except OSError:
        return False
    try:
        return (tried / file).exists()
    finally:
        tried.rmdir()


class Freezer:
    """A cgroup of a user's, in which this process goes on, and one below it to be frozen."""

    def __init__(self, user: int, *, unified: bool = False) -> None:
        """Give a cgroup to a user; another process of root's removes it at the end.

        With `unified` one of version 2, if there is one.
        """
        order = reversed(_FREEZERS) if unified else _FREEZERS
        top, self._file, self._frozen, thawed = next(filter(_can_freeze, order))
        self.unified = self._file == "cgroup.freeze"
        self.group = Path(top, f"procmirror-{os.getpid()}")
        self.below = self.group / "below"
        self.below.mkdir(parents=True)
        users.not_interrupted()
        if pid := os.fork():
            os.waitpid(pid, 0)
            (self.below / self._file).write_text(thawed, encoding="ascii")
            self._remove(Path(top))
            os._exit(0)
        self.join(self.group, 0)
        for group in (self.group, self.below):
            for given in (group, group / "cgroup.procs", group / self._file):
                os.chown(given, user, user)

    def _remove(self, top: Path) -> None:
        for group in (self.below, self.group):
            for line in (group / "cgroup.procs").read_text(encoding="ascii").split():
                with suppress(OSError):
                    self.join(top, int(line))
            while True:
                with suppress(OSError):
                    group.rmdir()
                    break
                time.sleep(0.05)

    def join(self, group: Path, pid: int) -> None:
        """Move a process into a group; OSError as the kernel's."""
        (group / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def freeze(self) -> None:
        """Stop all in the group below, in a way that SIGKILL does not end with cgroups of 1."""
        (self.below / self._file).write_text(self._frozen, encoding="ascii")


def _child(become: Callable[[int], object]) -> int:
    """The number of a new process, once it has written something to the pipe that it is given.

    A change of the user makes the kernel forget that it ends with this one.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        users.die_with_parent()
        become(theirs)
        os._exit(1)
    os.read(ours, 1)
    return pid


def _waiting(said: int) -> NoReturn:
    users.die_with_parent()
    os.write(said, b"x")
    while True:
        signal.pause()


def _in_frozen_group(user: int, _: str) -> None:
    freezer = Freezer(user)
    users.become(user)
    made = [_child(_waiting) for _ in range(_COUNT)]
    for pid in made:
        freezer.join(freezer.below, pid)
    freezer.freeze()
    users.held(made)


def _cloned_into(group: Path) -> int:
    """A process that clone3(2) makes in a cgroup, which may be frozen."""
    into = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    wanted = struct.pack("11Q", _CLONE_INTO_CGROUP, 0, 0, 0, signal.SIGCHLD, *[0] * 5, into)
    pid = users.check(users.libc.syscall(ctypes.c_long(_CLONE3), wanted, len(wanted)))
    if pid == 0:
        os._exit(0)
    os.close(into)
    return pid


def _born_in_frozen_group(user: int, mirror: str) -> None:
    freezer = Freezer(user, unified=True)
    if not freezer.unified:
        _in_frozen_group(user, mirror)
    users.become(user)
    freezer.freeze()
    made = [_cloned_into(freezer.below) for _ in range(_COUNT)]
    users.held(made)
    for pid in made:
        os.kill(pid, signal.SIGKILL)


def _workers(user: int, mirror: str) -> None:
    """Move and freeze whatever can be moved, again and again, and go on asking."""
    freezer = Freezer(user)
    users.become(user)
    users.enter_namespaces(user, users.CLONE_NEWUSER)
    own, moved = os.getpid(), set[int]()

    def move() -> None:
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if int(name) not in {own, os.getppid(), *moved}:
                    freezer.join(freezer.below, int(name))
                    moved.add(int(name))
        freezer.freeze()

    def move_for_ever() -> None:
        while True:
            move()

    def ask() -> None:
        for number in itertools.count():
            with suppress(OSError):
                os.stat(f"{mirror}/sys/kernel/none-{number}")
            with suppress(OSError):
                Path(mirror, "sys/kernel/ostype").read_bytes()

    for _ in range(4):
        threading.Thread(target=ask, daemon=True).start()
    end = time.monotonic() + 5
    while not moved and time.monotonic() < end:
        move()
    threading.Thread(target=move_for_ever, daemon=True).start()
    users.held(sorted(moved))


def _page_of_nobody(user: int) -> int:
    """The address of a page whose first use waits for whoever has a userfaultfd, and is silent."""
    faults = users.check(users.libc.syscall(ctypes.c_long(_FAULT), os.O_CLOEXEC))
    fcntl.ioctl(faults, _UFFDIO_API, struct.pack("QQQ", _API, 0, 0))
    users.become(user)
    address = int(users.libc.mmap(None, mmap.PAGESIZE, 3, 0x22, -1, 0))
    fcntl.ioctl(faults, _UFFDIO_REGISTER, struct.pack("QQQQ", address, mmap.PAGESIZE, _MISSING, 0))
    return address


def _arguments_of_nobody(user: int, _: str) -> None:
    def become(said: int) -> None:
        users.move_arguments(_page_of_nobody(user), mmap.PAGESIZE)
        _waiting(said)

    users.held([_child(become) for _ in range(_COUNT)])


def _path_of_nobody(user: int, _: str) -> None:
    def become(said: int) -> None:
        address = _page_of_nobody(user)
        users.die_with_parent()
        os.write(said, b"x")
        users.libc.open(ctypes.c_void_p(address), os.O_RDONLY)

    users.held([_child(become) for _ in range(_COUNT)])


def _secret(user: int, _: str) -> None:
    users.become(user)

    def become(said: int) -> None:
        memory = users.check(users.libc.syscall(ctypes.c_long(_SECRET), 0))
        os.ftruncate(memory, mmap.PAGESIZE)
        address = int(users.libc.mmap(None, mmap.PAGESIZE, 3, 1, memory, 0))
        ctypes.memmove(address, b"secret\0", 7)
        users.move_arguments(address, mmap.PAGESIZE)
        _waiting(said)

    users.held([_child(become) for _ in range(_COUNT)])


def _supervised(user: int, _: str) -> None:
    users.become(user)
    rules = struct.pack(
        *("=HBBIHBBIHBBIHBBI", _LOAD_NUMBER, 0, 0, 0, _IF_EQUAL, 0, 1, _GETPPID),
        *(_RETURN, 0, 0, _USER_NOTIF, _RETURN, 0, 0, _ALLOW),
    )

    def become(said: int) -> None:
        memory = ctypes.create_string_buffer(rules)
        program = struct.pack("HxxxxxxQ", 4, ctypes.addressof(memory))
        users.libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        users.check(
            users.libc.syscall(ctypes.c_long(_SECCOMP), _SET_MODE_FILTER, _NEW_LISTENER, program)
        )
        os.write(said, b"x")
        os.getppid()

    users.held([_child(become) for _ in range(_COUNT)])


def _main() -> None:
    kind, user, mirror = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    {
        "frozen": _in_frozen_group,
        "born": _born_in_frozen_group,
        "workers": _workers,
        "fault": _arguments_of_nobody,
        "path": _path_of_nobody,
        "secret": _secret,
        "supervised": _supervised,
    }[kind](user, mirror)
    os._exit(0)


if __name__ == "__main__":
    _main()
