"""Filters of system calls, as programs of the kernel's classic BPF.

Source: seccomp(2), Documentation/userspace-api/seccomp_filter.rst; numbers from the kernel's
unistd tables of x86_64 and of the generic table (aarch64, riscv64).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Mapping

from procmirror.identity import own_process

# AUDIT_ARCH_* (include/uapi/linux/audit.h) by what uname(2) calls the machine.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_X86_64 = {
    "read": 0,
    "close": 3,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "pread64": 17,
    "mremap": 25,
    "madvise": 28,
    "sendmsg": 46,
    "recvmsg": 47,
    "exit": 60,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "exit_group": 231,
    "getrandom": 318,
}
_GENERIC = {
    "read": 63,
    "close": 57,
    "mmap": 222,
    "mprotect": 226,
    "munmap": 215,
    "brk": 214,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "pread64": 67,
    "mremap": 216,
    "madvise": 233,
    "sendmsg": 211,
    "recvmsg": 212,
    "exit": 93,
    "futex": 98,
    "restart_syscall": 128,
    "clock_gettime": 113,
    "exit_group": 94,
    "getrandom": 278,
}
# Calls that no part of a mirror needs, but an attacker that runs code in one: the number of x86_64,
# and the generic one.
_FORBIDDEN = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "mknodat": (259, 33),
    "open_by_handle_at": (304, 265),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
# Allowed for one ring at most, which was made before.
_OF_RING = (426, 427)
# pipe2(2), and the flags of a pipe that nobody makes but libfuse, to move requests through it
# (fuse_ll_get_pipe, lib/fuse_lowlevel.c).
_PIPE, _PIPE_OF_LIBFUSE = (293, 59), os.O_CLOEXEC | os.O_NONBLOCK
# Their third argument is a protection: code that was not there before cannot be made.
_WITH_PROTECTION = ("mmap", "mprotect")
_PROT_EXEC = 4

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
# Offsets in struct seccomp_data.
_NUMBER, _ARCHITECTURE = 0, 4
_FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 16, 24, 32
_KILL, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000
_AT_LEAST, _X32 = 0x35, 0x40000000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2

_Instruction = tuple[int, int, int, int]


def _statement(code: int, value: int) -> _Instruction:
    return code, 0, 0, value


def only(architecture: int, allowed: Iterable[int], without_code: Iterable[int]) -> bytes:
    """A program that lets through the calls with these numbers and ends the process at others.

    Those of `without_code` are let through as long as they ask for no executable memory.
    """
    program = [
        _statement(_LOAD, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, _NUMBER),
    ]
    for number in allowed:
        program += [(_EQUAL, 0, 1, number), _statement(_RETURN, _ALLOW)]
    for number in without_code:
        program += [
            (_EQUAL, 0, 4, number),
            _statement(_LOAD, _THIRD_ARGUMENT),
            (_ANY_BIT, 0, 1, _PROT_EXEC),
            _statement(_RETURN, _KILL),
            _statement(_RETURN, _ALLOW),
        ]
    program.append(_statement(_RETURN, _KILL))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def all_but(
    architecture: int,
    forbidden: Iterable[int],
    with_flags: tuple[int, int] | None = None,
    except_for: tuple[tuple[int, ...], int] = ((), -1),
) -> bytes:
    """A program that refuses the calls with these numbers (EPERM), and those of other widths.

    Of one more number the calls are refused whose second argument are the flags beside it, and of
    those of `except_for` the ones whose first argument is not the descriptor beside them.
    """
    refuse = _statement(_RETURN, _ERROR | errno.EPERM)
    program = [
        _statement(_LOAD, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        refuse,
        _statement(_LOAD, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
    ]
    for number in forbidden:
        program += [(_EQUAL, 0, 1, number), refuse]
    if with_flags:
        number, flags = with_flags
        second = _statement(_LOAD, _SECOND_ARGUMENT)
        program += [(_EQUAL, 0, 3, number), second, (_EQUAL, 0, 1, flags), refuse]
    numbers, descriptor = except_for
    first = _statement(_LOAD, _FIRST_ARGUMENT)
    for number in numbers:
        others = [refuse] if descriptor < 0 else [first, (_EQUAL, 1, 0, descriptor), refuse]
        program += [_statement(_LOAD, _NUMBER), (_EQUAL, 0, len(others), number), *others]
    program.append(_statement(_RETURN, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def install(program: bytes) -> None:
    """Put a filter over this process for good; OSError where the kernel has no such filters."""
    own_process.forbid_new_privileges()
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    own_process.prctl_with(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def only_compute() -> None:
    """Leave this process nothing but memory, the descriptors that it has, messages, and its end.

    It can read files that are open and be sent others. Any other system call ends it. OSError on an
    architecture or a kernel without such filters.
    """
    machine = os.uname().machine
    numbers: Mapping[str, int] = _X86_64 if machine == "x86_64" else _GENERIC
    if machine not in _ARCHITECTURES:
        raise OSError("no filter of system calls for this architecture")
    calls = [number for name, number in numbers.items() if name not in _WITH_PROTECTION]
    guarded = [numbers[name] for name in _WITH_PROTECTION]
    install(only(_ARCHITECTURES[machine], calls, guarded))


def forbid_what_nothing_needs(*, pipes: bool, ring: int = -1) -> None:
    """Take from this process and its children the system calls that no part of a mirror needs.

    With `pipes` the pipe for requests that libfuse makes is among them. `ring` is the descriptor of
    the only ring of io_uring that may be used, -1 for none. OSError on an architecture
    or a kernel without such filters. It sets no_new_privs.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError("no filter of system calls for this architecture")
    column = 0 if machine == "x86_64" else 1
    forbidden = [pair[column] for pair in _FORBIDDEN.values()]
    pipe = (_PIPE[column], _PIPE_OF_LIBFUSE) if pipes else None
    install(all_but(_ARCHITECTURES[machine], forbidden, pipe, (_OF_RING, ring)))
