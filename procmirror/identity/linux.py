"""System calls that Python lacks, or that glibc would carry out for every thread.

These affect the calling thread only.

Each function raises OSError as os.* does. Sources: the man page of section 2 of the same name;
numbers from the kernel's unistd tables of x86_64 and of the generic table (aarch64, riscv64).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from procmirror.decoding.proc_files import stat_columns
from procmirror.identity.files import read_file

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
}

PROC_SUPER_MAGIC = 0x9FA0
MNT_DETACH = 2
_MS_BIND = 4096
CLONE_NEW = {
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "net": 0x40000000,
    "time": 0x00000080,
}
AT_SYMLINK_NOFOLLOW, AT_EACCESS = 0x100, 0x200
_AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = 0x1000, 0x4000
_STATX_INO, _STATX_MNT_ID = 0x100, 0x1000
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = (
    1,
    2,
    4,
    8,
    16,
)
# Of Linux 5.12.
RESOLVE_CACHED = 32
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
_CAPABILITY_VERSION_3 = 0x20080522
_NS_GET_USERNS, _NS_GET_OWNER_UID = 0xB701, 0xB704
_SIGKILL = 9
_PERF_FLAG_FD_CLOEXEC = 8
# So many user ids are remembered for `setfsuid`.
_MOST_SETTABLE = 4096

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _raw(name: str) -> Callable[..., int]:
    """One system call as a function of its own.

    Its arguments are numbers of 32 bits, bytes and buffers, which ctypes passes as they are. To
    declare them would take twice the time of the call.
    """
    call = _libc["syscall"]
    call.restype = ctypes.c_long
    number = _NUMBERS[name]

    def raw(*arguments: Any) -> int:
        result: int = call(number, *arguments)
        return result if result >= 0 else _check(result)

    return raw


_setgroups = _raw("setgroups")
# setresuid(2) and setresgid(2) of this thread: real, effective and saved id; KEEP leaves one as it
# is.
setresuid = _raw("setresuid")
setresgid = _raw("setresgid")
_capget = _raw("capget")
_capset = _raw("capset")
_setfsuid = _raw("setfsuid")
_setfsgid = _raw("setfsgid")
_keyctl = _raw("keyctl")
_openat2 = _raw("openat2")
_faccessat2 = _raw("faccessat2")
_statx = _raw("statx")
_perf_event_open = _raw("perf_event_open")
KEEP = 0xFFFFFFFF


@lru_cache(64)
def _group_array(groups: tuple[int, ...]) -> ctypes.Array[ctypes.c_uint]:
    return (ctypes.c_uint * len(groups))(*groups)


def setgroups(groups: tuple[int, ...]) -> None:
    """Replace the supplementary groups of this thread."""
    _setgroups(len(groups), _group_array(groups))


# Ids that setfsuid(2) has set: whether it can depends on the id and on the user namespace, which
# numbers it once and for all.
_settable: set[int] = set()


def setfsuid(uid: int) -> None:
    """Set the user id for file systems alone, if it is not to be the effective one.

    This thread has CAP_SETUID. PermissionError if the kernel refused; setfsuid(2) itself reports no
    error.
    """
    _setfsuid(uid)
    if uid in _settable:
        return
    if _setfsuid(KEEP) != uid:
        raise PermissionError("setfsuid")
    if len(_settable) < _MOST_SETTABLE:
        _settable.add(uid)


def setfsgid(gid: int) -> None:
    """Set the group id for file systems alone.

    PermissionError if the kernel refused; setfsgid(2) itself reports no error.
    """
    _setfsgid(gid)
    if _setfsgid(KEEP) != gid:
        raise PermissionError("setfsgid")


_CAP_HEADER = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)


def capget() -> tuple[int, int, int]:
    """Effective, permitted and inheritable capabilities of this thread, as masks."""
    buffer = ctypes.create_string_buffer(24)
    _capget(_CAP_HEADER, buffer)
    low_e, low_p, low_i, high_e, high_p, high_i = struct.unpack("6I", buffer.raw)
    return low_e | high_e << 32, low_p | high_p << 32, low_i | high_i << 32


@lru_cache(256)
def _cap_data(effective: int, permitted: int, inheritable: int) -> bytes:
    masks = (effective, permitted, inheritable)
    return struct.pack(
        "6I", *(mask & 0xFFFFFFFF for mask in masks), *(mask >> 32 for mask in masks)
    )


def capset(effective: int, permitted: int, inheritable: int = 0) -> None:
    """Set the capabilities of this thread."""
    _capset(_CAP_HEADER, _cap_data(effective, permitted, inheritable))


def access(directory: int, path: bytes, mode: int) -> None:
    """faccessat2(2) with the effective ids; a link is judged itself and not followed."""
    _faccessat2(directory, path, mode, AT_EACCESS | AT_SYMLINK_NOFOLLOW)


def open_resolved(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """A descriptor from openat2(2) with RESOLVE_* flags, close-on-exec."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, 0, resolve)
    return _openat2(directory, path, how, len(how))


def perf_event_open(attributes: bytes, tid: int) -> int:
    """A descriptor of a performance event of one thread on all processors, close-on-exec.

    `attributes` is a struct perf_event_attr.
    """
    return _perf_event_open(attributes, tid, -1, -1, _PERF_FLAG_FD_CLOEXEC)


def setns(descriptor: int, kind: str) -> None:
    """Join the namespace that `descriptor` (of /proc/PID/ns/`kind`) refers to."""
    _check(_libc.setns(descriptor, CLONE_NEW[kind]))


def owner_of_namespace(descriptor: int) -> int:
    """The uid that owns a user namespace (NS_GET_OWNER_UID)."""
    uid = ctypes.c_uint()
    _check(_libc.ioctl(descriptor, ctypes.c_ulong(_NS_GET_OWNER_UID), ctypes.byref(uid)))
    return uid.value


def parent_of_namespace(descriptor: int) -> int:
    """A descriptor of the user namespace that owns the given one (NS_GET_USERNS)."""
    return _check(_libc.ioctl(descriptor, ctypes.c_ulong(_NS_GET_USERNS)))


def _prctl(option: int, value: int = 0, second: int = 0) -> int:
    return _check(
        _libc.prctl(
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
    _check(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))


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


def object_of(descriptor: int) -> tuple[int, str, int]:
    """What an open descriptor stands for: mount id, device (as mountinfo writes it), inode.

    The mount id is 0 before Linux 5.8. A file system that another process or machine serves is not
    asked (statx(2), AT_STATX_DONT_SYNC).
    """
    buffer = ctypes.create_string_buffer(256)
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    _statx(descriptor, b"", flags, _STATX_INO | _STATX_MNT_ID, buffer)
    (mask,) = struct.unpack_from("=I", buffer.raw)
    (inode,) = struct.unpack_from("=Q", buffer.raw, 32)
    major, minor, mount = struct.unpack_from("=IIQ", buffer.raw, 136)
    return mount if mask & _STATX_MNT_ID else 0, f"{major}:{minor}", inode


def filesystem_magic(descriptor: int) -> int:
    """The f_type of the file system a descriptor is on (fstatfs(2))."""
    buffer = ctypes.create_string_buffer(256)
    _check(_libc.fstatfs(descriptor, buffer))
    return int(struct.unpack_from("@l", buffer.raw)[0])


def erase_environment(proc: int) -> None:
    """Overwrite what the kernel shows as the environment of this process.

    The C library loses every variable too.
    """
    columns = stat_columns(read_file(proc, b"self/stat"))
    start, end = int(columns[47]), int(columns[48])
    _libc.clearenv()
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor of this process that is not in `kept`."""
    inside = sorted(descriptor for descriptor in kept if descriptor >= 0)
    for low, high in zip([-1, *inside], [*inside, os.sysconf("SC_OPEN_MAX")], strict=True):
        if low + 1 < high:
            os.closerange(low + 1, high)


def bind(path: str, mountpoint: str) -> None:
    """Mount what is at `path` at a second place (mount(2) with MS_BIND)."""
    _check(
        _libc.mount(
            os.fsencode(path), os.fsencode(mountpoint), None, ctypes.c_ulong(_MS_BIND), None
        )
    )


def unmount_lazily(path: str) -> None:
    """Detach what is mounted at `path` (umount2(2) with MNT_DETACH)."""
    _check(_libc.umount2(os.fsencode(path), MNT_DETACH))
