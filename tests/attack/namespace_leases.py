"""A user who asks for the settings of its own namespaces and leases them (F_SETLEASE of fcntl(2)).

As a program: `python -m tests.attack.namespace_leases MIRROR USER`. In user, net and ipc namespaces
of its own it looks at names below `sys`, of which the kernel tells it that they are its own there,
and takes write leases on them. Writes how many it got. Who opens such a file waits for
fs.lease-break-time, 45 seconds.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from contextlib import suppress

from tests.attack import users

NAMES = ("sys/net/ipv4/ip_forward", "sys/kernel/shmmax", "sys/kernel/hostname", "sys/vm/swappiness")


def _main() -> None:
    mirror, user = sys.argv[1], int(sys.argv[2])
    users.become(user)
    users.enter_namespaces(user, users.CLONE_NEWUSER | users.CLONE_NEWNET | users.CLONE_NEWIPC)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    held = 0
    for name in NAMES:
        for folder in {os.path.dirname(name), os.path.dirname(os.path.dirname(name))}:
            with suppress(OSError):
                os.listdir(f"{mirror}/{folder}")
        with suppress(OSError):
            os.stat(f"{mirror}/{name}")
            file = os.open(f"{mirror}/{name}", os.O_RDONLY)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            held += 1
    users.held(held)


if __name__ == "__main__":
    _main()
