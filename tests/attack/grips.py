"""A user who tries to get a grip on the processes that act for him.

As a program: `python -m tests.attack.grips MIRROR USER SECONDS PID…`. Readers of USER keep the
processes PID acting as USER; from a user namespace of USER's own everything is tried on them that the
kernel allows to whoever has their effective user id. Writes which calls succeeded, on which process.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from tests.attack import users

_NR = {"ioprio_set": 251, "migrate_pages": 256, "move_pages": 279}
_GENERIC = {"ioprio_set": 30, "migrate_pages": 238, "move_pages": 239}
_IOPRIO_WHO_PROCESS, _IOPRIO_IDLE = 1, 3 << 13
_MASK = ctypes.c_ulong(1)


def _call(name: str, *arguments: object) -> None:
    numbers = _NR if os.uname().machine == "x86_64" else _GENERIC
    users.check(users.libc.syscall(ctypes.c_long(numbers[name]), *arguments))


def _signal_by_pidfd(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, 0)
    finally:
        os.close(descriptor)


def _limit(pid: int) -> None:
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


GRIPS: dict[str, Callable[[int], None]] = {
    "nice": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
    "class": lambda pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
    "affinity": lambda pid: os.sched_setaffinity(pid, {0}),
    "io": lambda pid: _call("ioprio_set", _IOPRIO_WHO_PROCESS, pid, _IOPRIO_IDLE),
    "limits": _limit,
    "memory": lambda pid: _call("migrate_pages", pid, 64, ctypes.byref(_MASK), ctypes.byref(_MASK)),
    "pages": lambda pid: _call("move_pages", pid, 0, None, None, None, 0),
    "signal": lambda pid: os.kill(pid, 0),
    "pidfd": _signal_by_pidfd,
    "trace": lambda pid: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)),
}


def _read_for_ever(mirror: str) -> None:
    users.die_with_parent()
    while True:
        for name in ("status", "environ", "sys/kernel/ostype"):
            with suppress(OSError):
                path = f"{mirror}/{name}" if "/" in name else f"{mirror}/self/{name}"
                descriptor = os.open(path, os.O_RDONLY)
                os.read(descriptor, 1 << 16)
                os.close(descriptor)


def _main() -> None:
    mirror, user, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    pids = [int(pid) for pid in sys.argv[4:]]
    users.become(user)
    readers = []
    for _ in range(2):
        if (pid := os.fork()) == 0:
            _read_for_ever(mirror)
        readers.append(pid)
    users.enter_namespaces(user, users.CLONE_NEWUSER)
    end = time.monotonic() + seconds
    taken: set[tuple[str, int]] = set()
    tries = 0
    while time.monotonic() < end:
        for pid in pids:
            for name, grip in GRIPS.items():
                tries += 1
                with suppress(OSError):
                    grip(pid)
                    taken.add((name, pid))
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
    users.held([tries, sorted(taken)])


if __name__ == "__main__":
    _main()
