"""The system call in which a thread makes a request (proc_pid_syscall(5)).

The FUSE header and the status of the thread tell the same ids for a request that is judged by
other capabilities and groups: one of access(2), or one that the thread carries out for a ring of
io_uring under a personality (io_uring_register(2)).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from procmirror.identity import file_calls
from procmirror.identity.errors import StillRunning
from procmirror.identity.files import READ

_X86_64 = os.uname().machine == "x86_64"


def _numbers(x86_64: Sequence[int], generic: Sequence[int]) -> frozenset[bytes]:
    """Numbers of 64-bit programs, on x86_64 those of x32 too (__X32_SYSCALL_BIT)."""
    numbers = (*x86_64, *(1 << 30 | number for number in x86_64)) if _X86_64 else generic
    return frozenset(b"%d" % number for number in numbers)


# access(2), faccessat(2), faccessat2(2). The first two have other numbers for programs of 32 bits,
# and syscall does not tell of which kind a program is: what x86_64 calls so is dup2 and sendmmsg,
# and arm64 mknodat, of which no answer depends on these rules.
_FACCESSAT2 = _numbers([439], [439])
_ACCESS_64 = _numbers([21, 269], [48]) | _FACCESSAT2
_ACCESS_32 = {b"33", b"307"} if _X86_64 else {b"33", b"334"}
_ACCESS = _ACCESS_64 | _ACCESS_32
# open(2), openat(2), open_by_handle_at(2), openat2(2).
_OPEN_64 = _numbers([2, 257, 304, 437], [56, 265, 437])
_OPEN_32 = {b"5", b"295", b"342", b"437"} if _X86_64 else {b"5", b"322", b"371", b"437"}
# The first address that no program of 32 bits has.
_BEYOND_32 = 1 << 32

# What syscall shows of a thread that has made its request and does not wait for the answer yet, and
# how often others may run before it is looked at again.
_RUNNING = b"running"
_YIELDS = 5
# The longest line of syscall: nine numbers.
_LINE = 256

# The words of a line of syscall.
Call = Sequence[bytes]


def open_call(proc: int, tid: int) -> int:
    """A descriptor of the file in which the kernel tells the system call of a thread.

    `proc` is a descriptor of a procfs. -1 where the kernel tells none, or not this process.
    """
    with suppress(FileNotFoundError, PermissionError):
        return os.open(b"%d/syscall" % tid, READ, dir_fd=proc)
    return -1


def read_call(opened: int) -> Call | None:
    """The system call of a thread that made a request, by a descriptor of `open_call`.

    None where the kernel does not tell it. Raises StillRunning for a thread that does not wait for
    the answer yet: it may have been stopped before by another that runs, or runs on another
    processor.
    """
    for _ in range(_YIELDS):
        try:
            words = os.pread(opened, _LINE, 0).split()
        except PermissionError:
            return None
        if words != [_RUNNING]:
            return words
        os.sched_yield()
    raise StillRunning


def is_access_call(call: Call) -> bool:
    """Whether a system call is access(2) or a kin of it that asks about the real ids."""
    return (
        bool(call)
        and call[0] in _ACCESS
        and not (call[0] in _FACCESSAT2 and int(call[4], 16) & file_calls.AT_EACCESS)
    )


def is_open_call(call: Call) -> bool:
    """Whether a system call is open(2) or a kin of it.

    A ring opens a file in io_uring_enter(2), or in whatever other call its thread is when a request
    before it is done. The program counter, the last word of the line, tells which calls a program
    of 32 bits cannot be in.
    """
    if not call:
        return False
    wide = int(call[-1], 16) >= _BEYOND_32
    return call[0] in _OPEN_64 or (not wide and call[0] in _OPEN_32)
