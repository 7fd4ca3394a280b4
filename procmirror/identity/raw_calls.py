"""System calls by number, which Python lacks or glibc would carry out for every thread.

Each function raises OSError as os.* does. Sources: the man page of section 2 of the same name;
numbers from the kernel's unistd tables of x86_64 and of the generic table (aarch64, riscv64).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

_X86_64 = {
    "setgroups": 116,
    "setresuid": 117,
    "setresgid": 119,
    "capget": 125,
    "capset": 126,
    "keyctl": 250,
    "perf_event_open": 298,
    "setfsuid": 122,
    "setfsgid": 123,
    "statx": 332,
}
_GENERIC = {
    "setgroups": 159,
    "setresuid": 147,
    "setresgid": 149,
    "capget": 90,
    "capset": 91,
    "keyctl": 219,
    "perf_event_open": 241,
    "setfsuid": 151,
    "setfsgid": 152,
    "statx": 291,
}
_NUMBERS = (_X86_64 if os.uname().machine == "x86_64" else _GENERIC) | {
    "openat2": 437,
    "faccessat2": 439,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
}

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """The result of a call of the C library; OSError where it is negative."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def raw_call(name: str) -> Callable[..., int]:
    """One system call as a function of its own.

    Its arguments are numbers of 32 bits, bytes and buffers, which ctypes passes as they are. To
    declare them would take twice the time of the call.
    """
    call = libc["syscall"]
    call.restype = ctypes.c_long
    number = _NUMBERS[name]

    def raw(*arguments: Any) -> int:
        result: int = call(number, *arguments)
        return result if result >= 0 else check(result)

    return raw
