"""What this process may do, and what the kernel does with it: prctl(2), keyring, descriptors.

Each function raises OSError as os.* does. Sources: the man page of section 2 of the same name;
numbers from the kernel's unistd tables of x86_64 and of the generic table (aarch64, riscv64).
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

from procmirror.decoding.proc_files import stat_columns
from procmirror.identity.files import read_file
from procmirror.identity.raw_calls import check, libc, raw_call

_PR_SET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = (
    1,
    3,
    4,
    8,
    38,
)
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_KEYCTL_JOIN_SESSION_KEYRING, _KEYCTL_SETPERM, _KEY_SPEC_SESSION_KEYRING = 1, 5, -3
_SIGKILL = 9
FIRST = 1000
_keyctl = raw_call("keyctl")


def _prctl(option: int, value: int = 0, second: int = 0) -> int:
    return check(
        libc.prctl(
            option,
            ctypes.c_ulong(value),
            ctypes.c_ulong(second),
            ctypes.c_ulong(0),
            ctypes.c_ulong(0),
        )
    )


def prctl_with(option: int, value: int, structure: bytes) -> None:
    """A prctl(2) whose third argument is the address of a structure."""
    buffer = ctypes.create_string_buffer(structure, len(structure))
    _prctl(option, value, ctypes.addressof(buffer))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends.

    The kernel forgets this at every change of credentials, so it is repeated after each.
    """
    # For each request of a worker: undeclared numbers take a third of the time.
    check(libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))


def be_ended_early(own: int, score: int) -> None:
    """Have the kernel kill this process before others when memory is short: FIRST before all.

    Its children have the same score. Then one view fails instead of the mirror. `own` is a procfs
    in which this process is `self`; raising the score needs no privilege (proc_pid_oom_adj(5)).
    """
    with suppress(OSError):
        descriptor = os.open("self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC, dir_fd=own)
        with open(descriptor, "wb") as file:
            file.write(b"%d" % score)


def take_orphans(*, taken: bool = True) -> None:
    """Be the parent of descendants whose own parents have ended, or no longer."""
    _prctl(_PR_SET_CHILD_SUBREAPER, int(taken))


def forbid_dumps() -> None:
    """Let no process without capabilities read or trace this one; OSError if that failed."""
    _prctl(_PR_SET_DUMPABLE, 0)
    if _prctl(_PR_GET_DUMPABLE) != 0:
        raise PermissionError("still dumpable")


def forbid_new_privileges() -> None:
    """Let no execve(2) of this process or its children add privileges (PR_SET_NO_NEW_PRIVS)."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def keep_capabilities() -> None:
    """Keep the permitted set across the next change of all user ids."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def clear_ambient() -> None:
    """Empty the ambient set."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def empty_bounding_set() -> None:
    """Let no execve(2) of this process or its children add a capability.

    The process keeps those that it has. It needs CAP_SETPCAP.
    """
    with suppress(OSError):
        for capability in range(64):
            _prctl(_PR_CAPBSET_DROP, capability)


def join_empty_session_keyring() -> None:
    """Replace the inherited session keyring by an empty one that no other process may see.

    Kernels without keys have none to replace.
    """
    try:
        _keyctl(_KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
        _keyctl(_KEYCTL_SETPERM, _KEY_SPEC_SESSION_KEYRING, 0)
    except OSError:
        return


def erase_environment(proc: int) -> None:
    """Overwrite what the kernel shows as the environment of this process.

    The C library loses every variable too.
    """
    columns = stat_columns(read_file(proc, b"self/stat"))
    start, end = int(columns[47]), int(columns[48])
    libc.clearenv()
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)


def give_back_free_memory() -> None:
    """Give memory that was freed back to the kernel, before children share it (malloc_trim(3)).

    Other libraries than glibc's have no such call.
    """
    with suppress(AttributeError):
        libc.malloc_trim(ctypes.c_size_t(0))


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor of this process that is not in `kept`."""
    inside = sorted(descriptor for descriptor in kept if descriptor >= 0)
    for low, high in zip([-1, *inside], [*inside, os.sysconf("SC_OPEN_MAX")], strict=True):
        if low + 1 < high:
            os.closerange(low + 1, high)
