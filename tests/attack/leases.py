"""Processes of a user that have leases on their own files in /proc (F_SETLEASE of fcntl(2)).

As a program: `python -m tests.attack.leases MIRROR USER`. Who opens such a file waits for
fs.lease-break-time, 45 seconds. Two processes of USER have leases on the files of each other; one
asks the mirror without end. Writes their numbers.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from contextlib import suppress

from tests.attack import users

# fs.lease-break-time
_BREAK_SECONDS = 45


def _leased(pid: int) -> list[int]:
    """Descriptors with leases on what of a process, and of its first thread, is a regular file."""
    held = []
    for place in (f"/proc/{pid}", f"/proc/{pid}/task/{pid}"):
        for name in os.listdir(place):
            with suppress(OSError):
                opened = os.open(f"{place}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                held.append(opened)
                fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    return held


def _lease_for_ever(pids: list[int]) -> None:
    """Keep them until the kernel has taken them away, and take them again."""
    held: list[int] = []
    while True:
        for descriptor in held:
            os.close(descriptor)
        held = [descriptor for pid in pids for descriptor in _leased(pid)]
        time.sleep(_BREAK_SECONDS + 1)


def _ask_for_ever(mirror: str) -> None:
    while True:
        for name in ("self/environ", "self/status.json", "sys/kernel/ostype", "processes.txt"):
            with suppress(OSError), open(f"{mirror}/{name}", "rb") as file:
                file.read()


def _main() -> None:
    mirror, user = sys.argv[1], int(sys.argv[2])
    users.become(user)
    # Without a handler SIGIO, with which the kernel asks for a lease, ends the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    pids = [os.getpid()]
    if (child := os.fork()) == 0:
        users.die_with_parent()
        _lease_for_ever([os.getppid(), os.getpid()])
    pids.append(child)
    if (asking := os.fork()) == 0:
        users.die_with_parent()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
        lease = threading.Thread(target=_lease_for_ever, args=([os.getpid()],), daemon=True)
        lease.start()
        _ask_for_ever(mirror)
    users.held([*pids, asking])


if __name__ == "__main__":
    _main()
