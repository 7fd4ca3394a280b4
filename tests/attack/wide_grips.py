"""A user who takes hold of many processes at once, or of the mount, by calls that name no process.

As a program: `python -m tests.attack.wide_grips MIRROR USER SECONDS PID…`. Readers of USER keep the
processes PID acting as USER. Calls that name all processes of a user, of a process group or of
everybody are made as USER and as the root of namespaces of USER's own; so is what would end the
mount. A call that succeeds tells nothing: USER has processes of its own. Writes how many calls were
made, and which of those that would end the mount succeeded.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from tests.attack import users
from tests.attack.grips import ENOUGH, read_for_ever

_X86 = os.uname().machine == "x86_64"
_IOPRIO_SET, _SCHED_SETATTR, _MRELEASE = (251, 314, 448) if _X86 else (30, 274, 448)
_PIDFD_SEND_SIGNAL, _FSCONFIG, _FSPICK, _MOUNT_SETATTR = 424, 431, 433, 442
_SET_FLAG, _RECONFIGURE = 0, 7
_WHO_PGRP, _WHO_USER, _IOPRIO_IDLE = 2, 3, 3 << 13
_SIGNAL_PROCESS_GROUP = 4
_PR_SCHED_CORE, _SHARE_TO, _OF_PROCESS = 62, 2, 1
_MS_REMOUNT, _MS_BIND, _MS_NOATIME, _MS_MOVE = 0x20, 0x1000, 0x400, 0x2000
_MNT_FORCE, _MNT_DETACH = 1, 2
# What a process that has no handler for it does not notice, but in its status.
_QUIET = signal.SIGURG


def _call(number: int, *arguments: object) -> None:
    users.check(users.libc.syscall(ctypes.c_long(number), *arguments))


def _owned(pid: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send a signal for a file of ours."""
    ours, theirs = os.pipe()
    try:
        fcntl.fcntl(ours, fcntl.F_SETSIG, number)
        fcntl.fcntl(ours, fcntl.F_SETOWN, pid)
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
        os.write(theirs, b"x")
    finally:
        os.close(ours)
        os.close(theirs)


def _by_pidfd(number: int, *arguments: object) -> Callable[[int], None]:
    def grip(pid: int) -> None:
        descriptor = os.pidfd_open(pid)
        try:
            _call(number, descriptor, *arguments)
        finally:
            os.close(descriptor)

    return grip


def _idle(pid: int) -> None:
    # struct sched_attr of 48 bytes: SCHED_IDLE, the rest nothing.
    attributes = (48).to_bytes(4, sys.byteorder) + (5).to_bytes(4, sys.byteorder) + bytes(40)
    _call(_SCHED_SETATTR, pid, attributes, 0)


# By the number of a process.
OF_PROCESS: tuple[Callable[[int], object], ...] = (
    lambda pid: os.setpriority(os.PRIO_PGRP, os.getpgid(pid), 19),
    lambda pid: _call(_IOPRIO_SET, _WHO_PGRP, os.getpgid(pid), _IOPRIO_IDLE),
    lambda pid: os.killpg(os.getpgid(pid), _QUIET),
    lambda pid: os.setpgid(pid, os.getpgrp()),
    _by_pidfd(_PIDFD_SEND_SIGNAL, _QUIET, None, _SIGNAL_PROCESS_GROUP),
    _by_pidfd(_MRELEASE, 0),
    _idle,
    lambda pid: users.check(
        users.libc.prctl(_PR_SCHED_CORE, _SHARE_TO, pid, _OF_PROCESS, ctypes.c_void_p())
    ),
    _owned,
    lambda pid: _owned(-os.getpgid(pid), _QUIET),
)
# By the number of a user, or of all.
OF_USER: tuple[Callable[[int], object], ...] = (
    lambda user: os.setpriority(os.PRIO_USER, user, 19),
    lambda _: os.setpriority(os.PRIO_USER, 0, 19),
    lambda user: _call(_IOPRIO_SET, _WHO_USER, user, _IOPRIO_IDLE),
    lambda _: _call(_IOPRIO_SET, _WHO_USER, 0, _IOPRIO_IDLE),
    lambda _: os.kill(-1, _QUIET),
)


def _umount(flags: int) -> Callable[[str], int]:
    return lambda place: users.check(users.libc.umount2(place.encode(), flags))


def _mount(flags: int, *target: str) -> Callable[[str], None]:
    def grip(place: str) -> None:
        source, above = (place, target[0]) if target else ("none", place)
        users.mount(source, above, "none", "", flags)

    return grip


def _abort(place: str) -> None:
    number = os.minor(os.stat(place).st_dev)
    with open(f"/sys/fs/fuse/connections/{number}/abort", "wb", buffering=0) as abort:
        abort.write(b"1")


def _attributes(place: str) -> None:
    """Struct mount_attr: nothing but noatime, for all that is mounted there."""
    _call(
        _MOUNT_SETATTR, -100, place.encode(), 0x8000, (0x10).to_bytes(8, "little") + bytes(24), 32
    )


def _reconfigured(place: str) -> None:
    picked = users.check(users.libc.syscall(ctypes.c_long(_FSPICK), -100, place.encode(), 0))
    try:
        _call(_FSCONFIG, picked, _SET_FLAG, b"ro", None, 0)
        _call(_FSCONFIG, picked, _RECONFIGURE, None, None, 0)
    finally:
        os.close(picked)


# What would end the mount, or change it for others.
OF_MOUNT: dict[str, Callable[[str], object]] = {
    "force": _umount(_MNT_FORCE),
    "force, detach": _umount(_MNT_FORCE | _MNT_DETACH),
    "remount": _mount(_MS_REMOUNT),
    "abort": _abort,
    "reconfigure": _reconfigured,
}
# What in a mount namespace of one's own may succeed there, and changes nothing elsewhere.
IN_OWN_NAMESPACE: tuple[Callable[[str], object], ...] = (
    _umount(0),
    _umount(_MNT_DETACH),
    _mount(_MS_REMOUNT | _MS_BIND | _MS_NOATIME),
    _mount(_MS_MOVE, "/mnt"),
    _attributes,
)


class _Tries:
    def __init__(self, mirror: str, user: int, pids: list[int]) -> None:
        self._mirror, self._user, self._pids = mirror, user, pids
        self.made, self.ended = 0, set[str]()

    def _try(self, grip: Callable[[], object], name: str = "") -> None:
        self.made += 1
        with suppress(OSError):
            grip()
            if name:
                self.ended.add(name)

    def go_on(self, seconds: float) -> None:
        end, enough = time.monotonic() + seconds, self.made + ENOUGH / 2
        while time.monotonic() < end or self.made < enough:
            for of_process in OF_PROCESS:
                for pid in self._pids:
                    self._try(lambda grip=of_process, pid=pid: grip(pid))  # type: ignore[misc]
            for of_user in OF_USER:
                self._try(lambda grip=of_user: grip(self._user))  # type: ignore[misc]
            for name, of_mount in OF_MOUNT.items():
                self._try(lambda grip=of_mount: grip(self._mirror), name)  # type: ignore[misc]


def _main() -> None:
    mirror, user, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    users.become(user)
    tries = _Tries(mirror, user, [int(pid) for pid in sys.argv[4:]])
    readers = []
    for _ in range(2):
        if (pid := os.fork()) == 0:
            read_for_ever(mirror)
        readers.append(pid)
    tries.go_on(seconds / 2)
    users.enter_namespaces(user)
    tries.go_on(seconds / 2)
    for in_own in IN_OWN_NAMESPACE:
        with suppress(OSError):
            in_own(mirror)
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
    users.held([tries.made, sorted(tries.ended)])


if __name__ == "__main__":
    _main()
