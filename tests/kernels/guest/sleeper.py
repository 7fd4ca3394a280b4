"""A process with a descriptor of each kind that the kernel tells something about: it prints `ready` and sleeps.

It runs by itself, with the libraries of Python alone, so that its mappings name no file of the
checkout. A kind that the kernel does not have is left out: its number is that of a copy of /dev/null.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import select
import signal
import socket
import sys
from collections.abc import Callable

# System calls that Python has no function for and that have another number on arm64, where x86-64
# has the first.
_ARM64 = platform.machine() == "aarch64"
_BPF = 280 if _ARM64 else 321
_USERFAULTFD = 282 if _ARM64 else 323
_IO_URING_SETUP = 425  # everywhere
_MERGE_MEMORY = 67  # PR_SET_MEMORY_MERGE
_PAGES = 8
# CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID and CLOCK_BOOTTIME.
_CLOCKS = (1, 2, 7)
libc = ctypes.CDLL(None, use_errno=True)


def listener() -> int:
    """A TCP socket that listens, and beside it a connection and sockets of other kinds."""
    made = socket.create_server(("127.0.0.1", 8080))
    KEPT.append(socket.create_connection(("127.0.0.1", 8080)))
    KEPT.append(socket.socketpair())
    return made.detach()


def pipe() -> int:
    """The end of a pipe that is read, without the other end."""
    return os.pipe()[0]


def epoll() -> int:
    """Waits for two others."""
    made = select.epoll()
    for one in FIRST:
        made.register(one, select.EPOLLIN)
    KEPT.append(made)
    return made.fileno()


def timerfd() -> int:
    """Ends in a thousand seconds, and then each hour."""
    made = int(libc.timerfd_create(1, 0))
    times = (ctypes.c_long * 4)(3600, 0, 1000, 0)
    libc.timerfd_settime(made, 0, times, None)
    return made


def signalfd() -> int:
    """Takes SIGUSR1 and SIGCHLD."""
    signals = (ctypes.c_ulong * 16)(1 << (signal.SIGUSR1 - 1) | 1 << (signal.SIGCHLD - 1))
    return int(libc.signalfd(-1, signals, 0))


def inotify() -> int:
    """Watches two directories."""
    made = int(libc.inotify_init1(0))
    for name in (b"/tmp", b"/run"):
        libc.inotify_add_watch(made, name, 0x100 | 0x200)
    return made


def fanotify() -> int:
    """Watches a mount and a directory."""
    made = int(libc.fanotify_init(0, 0))
    add, here = 1, -100
    mask = ctypes.c_uint64(0x8 | 0x20)
    libc.fanotify_mark(made, add | 0x10, mask, here, b"/tmp")
    libc.fanotify_mark(made, add, mask, here, b"/run")
    return made


def locked() -> int:
    """A file in memory with a lock of each kind on it."""
    made = os.memfd_create("sample")
    os.write(made, b"sample\n")
    fcntl.flock(made, fcntl.LOCK_EX)
    fcntl.lockf(made, fcntl.LOCK_EX, 4, 2)
    return made


def pidfd() -> int:
    """Refers to the first process."""
    return os.pidfd_open(1)


def io_uring() -> int:
    """A ring of eight entries."""
    return int(libc.syscall(_IO_URING_SETUP, 8, (ctypes.c_uint32 * 30)()))


def userfaultfd() -> int:
    """Has agreed upon the interface."""
    made = int(libc.syscall(_USERFAULTFD, 0))
    fcntl.ioctl(made, 0xC018AA3F, bytearray(b"\xaa" + bytes(23)))
    return made


def bpf() -> int:
    """An array of four values of eight bytes."""
    wanted = (ctypes.c_uint32 * 32)(2, 4, 8, 4)
    return int(libc.syscall(_BPF, 0, wanted, ctypes.sizeof(wanted)))


def terminal() -> int:
    """The side of a pseudo-terminal that a terminal emulator has."""
    return os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)


def eventfd() -> int:
    """Has the value 7."""
    return os.eventfd(7)


# The first two are what `epoll` waits for.
KINDS: tuple[Callable[[], int], ...] = (
    *(listener, pipe, eventfd, epoll, timerfd, signalfd, inotify, fanotify, locked, pidfd),
    *(io_uring, userfaultfd, bpf, terminal),
)
# The descriptors of `KINDS` begin here.
FIRST_NUMBER = 10
FIRST = (FIRST_NUMBER, FIRST_NUMBER + 1)
KEPT: list[object] = []


def main() -> None:
    """Open all and sleep."""
    null = os.open("/dev/null", os.O_RDWR)
    for number, kind in enumerate(KINDS, FIRST_NUMBER):
        try:
            made = kind()
        except OSError:
            made = -1
        os.dup2(made if made >= 0 else null, number)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    libc.prctl(_MERGE_MEMORY, 1, 0, 0, 0)
    for clock in _CLOCKS:
        libc.timer_create(clock, None, ctypes.byref(ctypes.c_void_p()))
    shared = mmap.mmap(-1, _PAGES * mmap.PAGESIZE)
    shared.write(b"sample")
    libc.mlock(ctypes.byref(ctypes.c_char.from_buffer(shared)), mmap.PAGESIZE)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
