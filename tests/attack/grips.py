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
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from tests.attack import users

# So many tries at least, however long a loaded machine takes for them.
ENOUGH = 10_000
_NR = {
    "ioprio_set": 251,
    "migrate_pages": 256,
    "move_pages": 279,
    "get_robust_list": 274,
    "kcmp": 312,
    "perf_event_open": 298,
    "rt_sigqueueinfo": 129,
    "setns": 308,
    "pidfd_getfd": 438,
    "process_madvise": 440,
}
_GENERIC = {
    "ioprio_set": 30,
    "migrate_pages": 238,
    "move_pages": 239,
    "get_robust_list": 100,
    "kcmp": 272,
    "perf_event_open": 241,
    "rt_sigqueueinfo": 138,
    "setns": 268,
    "pidfd_getfd": 438,
    "process_madvise": 440,
}
_IOPRIO_WHO_PROCESS, _IOPRIO_IDLE = 1, 3 << 13
_MASK = ctypes.c_ulong(1)
_KCMP_VM, _CLONE_NEWUTS, _MADV_COLD, _SI_QUEUE = 1, 0x04000000, 20, -1
# The size of struct perf_event_attr at first, and an event of software that always is there.
_EVENT = struct.pack("IIQ", 1, 64, 0).ljust(64, b"\0")


def _call(name: str, *arguments: object) -> None:
    numbers = _NR if os.uname().machine == "x86_64" else _GENERIC
    users.check(users.libc.syscall(ctypes.c_long(numbers[name]), *arguments))


def _by_pidfd(act: Callable[[int], object]) -> Callable[[int], None]:
    """What is done with a descriptor that stands for the process."""

    def grip(pid: int) -> None:
        descriptor = os.pidfd_open(pid)
        try:
            act(descriptor)
        finally:
            os.close(descriptor)

    return grip


def _written(name: str, value: str) -> Callable[[int], None]:
    """What is written to an entry of the process; that may be its effective user's."""

    def grip(pid: int) -> None:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)

    return grip


def _advise(descriptor: int) -> None:
    """Advice about memory of the process, as that it does not need it; here about none."""
    _call("process_madvise", descriptor, None, ctypes.c_ulong(0), _MADV_COLD, 0)


def _queue(pid: int) -> None:
    said = ctypes.create_string_buffer(struct.pack("iii", 0, 0, _SI_QUEUE), 128)
    _call("rt_sigqueueinfo", pid, 0, said)


def _robust(pid: int) -> None:
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    _call("get_robust_list", pid, ctypes.byref(head), ctypes.byref(size))


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
    "pidfd": _by_pidfd(lambda descriptor: signal.pidfd_send_signal(descriptor, 0)),
    "trace": lambda pid: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)),
    "descriptor": _by_pidfd(lambda descriptor: _call("pidfd_getfd", descriptor, 0, 0)),
    "advice": _by_pidfd(_advise),
    "namespace": _by_pidfd(lambda descriptor: _call("setns", descriptor, _CLONE_NEWUTS)),
    "queue": _queue,
    "robust": _robust,
    "comparison": lambda pid: _call("kcmp", pid, pid, _KCMP_VM, 0, 0),
    "event": lambda pid: _call("perf_event_open", _EVENT, pid, -1, -1, 0),
    "score": _written("oom_score_adj", "1000"),
    "slack": _written("timerslack_ns", "1000000"),
    "group": _written("autogroup", "19"),
    "dump": _written("coredump_filter", "0"),
    "pages of it": _written("clear_refs", "1"),
}


def read_for_ever(mirror: str) -> None:
    """Have workers act as this user, without end."""
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
            read_for_ever(mirror)
        readers.append(pid)
    users.enter_namespaces(user, users.CLONE_NEWUSER)
    end = time.monotonic() + seconds
    taken: set[tuple[str, int]] = set()
    tries = 0
    while time.monotonic() < end or tries < ENOUGH:
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
