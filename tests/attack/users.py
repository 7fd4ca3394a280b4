"""Becoming an unprivileged user, and the root of a user namespace of one's own.

For the programs of this folder: everything here changes the calling process for good.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import NoReturn

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
CLONE_NEWIPC, CLONE_NEWNET = 0x08000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_MM, _PR_SET_MM_MAP = 1, 4, 35, 14
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)


def check(result: int) -> int:
    """The result of a call of the C library; OSError where it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def become(user: int) -> None:
    """Be an ordinary user with one group, whom others of the same user may trace."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    dumpable()


def dumpable() -> None:
    """Be a process that its own user may look into, as every program is after execve(2)."""
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def die_with_parent() -> None:
    """End with the process that made this one."""
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def enter_namespaces(user: int, kinds: int = CLONE_NEWUSER | CLONE_NEWNS) -> None:
    """Be root of a user namespace of one's own, in which only one id has a number."""
    check(libc.unshare(kinds))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {user} 1"),
    ):
        Path("/proc/self", name).write_text(text, encoding="ascii")
    dumpable()


def mount(source: str, target: str, kind: str, options: str, flags: int = 0) -> None:
    """Put a file system of a kind at a target."""
    check(
        libc.mount(
            source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()
        )
    )


def map_page(descriptor: int, protection: int = 1) -> int:
    """The address of a page that is mapped private from the beginning of a file."""
    return int(libc.mmap(None, 4096, protection, 2, descriptor, 0))


def move_arguments(address: int, size: int) -> None:
    """Have the kernel take memory for this process's arguments, and for its environment.

    By PR_SET_MM_MAP of prctl(2), which everybody may use for memory of his own.
    """
    columns = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    # Columns 26 to 28 and 45 to 47 of proc_pid_stat(5): code, stack, data, and the start of brk.
    code, end_code, stack = (int(columns[at - 3]) for at in (26, 27, 28))
    data, end_data, brk = (int(columns[at - 3]) for at in (45, 46, 47))
    libc.sbrk.restype = ctypes.c_void_p
    places = (code, end_code, data, end_data, brk, libc.sbrk(0), stack)
    end = address + size
    wanted = struct.pack("=12QII", *places, address, end, address, end, 0, 0, 0xFFFFFFFF)
    check(libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, wanted, len(wanted), 0))


def not_interrupted() -> None:
    """Leave Ctrl-C to the test, at whose end this program ends: what it has made is to be removed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def held(said: object) -> None:
    """Say that the attack is under way, and go on until nobody wants it any more."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def end(group: int = 0) -> NoReturn:
    """End with all processes of this one's group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(group or os.getpgrp(), signal.SIGKILL)
    os._exit(0)


def packed(number: int) -> bytes:
    """A number as a message through a pipe."""
    return struct.pack("Q", number)


def unpacked(pipe: int) -> int:
    """A number from a pipe."""
    return int(struct.unpack("Q", os.read(pipe, 8))[0])


def getdents(directory: int) -> int:
    """How many bytes of entries getdents64(2) gives from where a directory stands."""
    number = 217 if os.uname().machine == "x86_64" else 61
    buffer = ctypes.create_string_buffer(1 << 15)
    return check(
        libc.syscall(ctypes.c_long(number), directory, buffer, ctypes.c_ulong(len(buffer)))
    )
