"""System calls about files, mounts and namespaces.

Each function raises OSError as os.* does. Sources: the man page of section 2 of the same name;
numbers from the kernel's unistd tables of x86_64 and of the generic table (aarch64, riscv64).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from procmirror.identity.raw_calls import check, libc, raw_call

PROC_SUPER_MAGIC = 0x9FA0
MNT_DETACH = 2
_MS_BIND = 4096
AT_SYMLINK_NOFOLLOW, AT_EACCESS = 0x100, 0x200
_AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = 0x1000, 0x4000
_STATX_TYPE, _STATX_INO, _STATX_MNT_ID = 0x1, 0x100, 0x1000
RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = (
    1,
    2,
    4,
    8,
    16,
)
# Of Linux 5.12.
RESOLVE_CACHED = 32
_NS_GET_USERNS, _NS_GET_OWNER_UID = 0xB701, 0xB704
_PERF_FLAG_FD_CLOEXEC = 8
_openat2 = raw_call("openat2")
_faccessat2 = raw_call("faccessat2")
_statx = raw_call("statx")
_perf_event_open = raw_call("perf_event_open")


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


def owner_of_namespace(descriptor: int) -> int:
    """The uid that owns a user namespace (NS_GET_OWNER_UID)."""
    uid = ctypes.c_uint()
    check(libc.ioctl(descriptor, ctypes.c_ulong(_NS_GET_OWNER_UID), ctypes.byref(uid)))
    return uid.value


def parent_of_namespace(descriptor: int) -> int:
    """A descriptor of the user namespace that owns the given one (NS_GET_USERNS)."""
    return check(libc.ioctl(descriptor, ctypes.c_ulong(_NS_GET_USERNS)))


# Mask, mode, inode, major and minor device, mount id of a struct statx (include/uapi/linux/stat.h).
_STATX_FIELDS = struct.Struct("=I24xH2xQ96xIIQ")
_Statx = ctypes.c_char * 256


def object_of(descriptor: int) -> tuple[int, str, int]:
    """What an open descriptor stands for: mount id, device (as mountinfo writes it), inode.

    The mount id is 0 before Linux 5.8. A file system that another process or machine serves is not
    asked (statx(2), AT_STATX_DONT_SYNC).
    """
    return object_and_kind(descriptor)[0]


def object_and_kind(descriptor: int) -> tuple[tuple[int, str, int], bool]:
    """`object_of` a descriptor, and whether it is a directory."""
    buffer = _Statx()
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    _statx(descriptor, b"", flags, _STATX_TYPE | _STATX_INO | _STATX_MNT_ID, buffer)
    mask, mode, inode, major, minor, mount = _STATX_FIELDS.unpack_from(buffer)
    known = mount if mask & _STATX_MNT_ID else 0
    return (known, f"{major}:{minor}", inode), stat.S_ISDIR(mode)


# Links, mode, inode, size, blocks of 512 bytes, special device, device, mount id of a struct statx.
_STATX_ALL = struct.Struct("=16xI8xH2xQQQ72xIIIIQ")
_STATX_BASIC = 0x7FF


def status_of(descriptor: int, path: bytes = b"") -> tuple[int, int, int, int, int, str, str, int]:
    """What is known of a file without asking another process or machine.

    It is that of an open descriptor, or what `path` below it leads to.

    Mode, size and allocated bytes, links, inode, the device that it stands for, the device that it
    is on (as mountinfo writes them), and the mount id, 0 before Linux 5.8 (statx(2)).
    """
    buffer = _Statx()
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    _statx(descriptor, path, flags, _STATX_BASIC | _STATX_MNT_ID, buffer)
    links, mode, inode, size, blocks, *numbers, mount = _STATX_ALL.unpack_from(buffer)
    kind, unit, major, minor = numbers
    return mode, size, blocks * 512, links, inode, f"{kind}:{unit}", f"{major}:{minor}", mount


def filesystem_magic(descriptor: int) -> int:
    """The f_type of the file system a descriptor is on (fstatfs(2))."""
    buffer = ctypes.create_string_buffer(256)
    check(libc.fstatfs(descriptor, buffer))
    return int(struct.unpack_from("@l", buffer.raw)[0])


def bind(path: str, mountpoint: str) -> None:
    """Mount what is at `path` at a second place (mount(2) with MS_BIND)."""
    check(
        libc.mount(os.fsencode(path), os.fsencode(mountpoint), None, ctypes.c_ulong(_MS_BIND), None)
    )


def unmount_lazily(path: str) -> None:
    """Detach what is mounted at `path` (umount2(2) with MNT_DETACH)."""
    check(libc.umount2(os.fsencode(path), MNT_DETACH))
