"""The ids, groups, capabilities and namespaces of the calling thread alone.

glibc would change those of every thread.

Each function raises OSError as os.* does. Sources: the man page of section 2 of the same name;
numbers from the kernel's unistd tables of x86_64 and of the generic table (aarch64, riscv64).
"""

from __future__ import annotations

import ctypes
import struct
from functools import lru_cache

from procmirror.identity.raw_calls import check, libc, raw_call

CLONE_NEW = {
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "net": 0x40000000,
    "time": 0x00000080,
}
_CAPABILITY_VERSION_3 = 0x20080522
# So many user ids are remembered for `setfsuid`.
_MOST_SETTABLE = 4096
KEEP = 0xFFFFFFFF
_setgroups = raw_call("setgroups")
# setresuid(2) and setresgid(2) of this thread: real, effective and saved id; KEEP leaves one as it
# is.
setresuid = raw_call("setresuid")
setresgid = raw_call("setresgid")
_capget = raw_call("capget")
_capset = raw_call("capset")
_setfsuid = raw_call("setfsuid")
_setfsgid = raw_call("setfsgid")


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


@lru_cache(64)
def _cap_header(tid: int) -> bytes:
    return struct.pack("Ii", _CAPABILITY_VERSION_3, tid)


_CAP_MASKS = struct.Struct("6I")
_CapMasks = ctypes.c_char * _CAP_MASKS.size


def capabilities_of(tid: int) -> tuple[int, int]:
    """Effective and permitted capabilities of a thread of this pid namespace, as masks."""
    buffer = _CapMasks()
    _capget(_cap_header(tid), buffer)
    low_e, low_p, _, high_e, high_p, _ = _CAP_MASKS.unpack_from(buffer)
    return low_e | high_e << 32, low_p | high_p << 32


@lru_cache(256)
def _cap_data(effective: int, permitted: int, inheritable: int) -> bytes:
    masks = (effective, permitted, inheritable)
    return struct.pack(
        "6I", *(mask & 0xFFFFFFFF for mask in masks), *(mask >> 32 for mask in masks)
    )


def capset(effective: int, permitted: int, inheritable: int = 0) -> None:
    """Set the capabilities of this thread."""
    _capset(_CAP_HEADER, _cap_data(effective, permitted, inheritable))


def setns(descriptor: int, kind: str) -> None:
    """Join the namespace that `descriptor` (of /proc/PID/ns/`kind`) refers to."""
    check(libc.setns(descriptor, CLONE_NEW[kind]))
