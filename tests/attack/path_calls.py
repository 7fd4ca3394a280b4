"""System calls on paths below a directory, with arguments that chance chooses.

The same calls are made on the mirror and on the kernel's /proc if the source of chance is in the
same state. A number of bytes or zero comes out, or OSError.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TypeAlias

from tests.attack.chances import ROOM
from tests.permissions.calls import call

PathCall: TypeAlias = "Callable[[Random, int, str], int]"

# linux/fcntl.h, linux/stat.h, linux/openat2.h (RESOLVE_CACHED may always say EAGAIN and is left out)
_NOFOLLOW, _EACCESS, _FORCE_SYNC, _DONT_SYNC = 0x100, 0x200, 0x2000, 0x4000
_NO_SYMLINKS, _EXCHANGE = 0x04, 0x02
_RESOLVE = (0, 0x01, 0x02, _NO_SYMLINKS, 0x08, 0x10)
_ATTRIBUTES = ("user.x", "security.capability", "system.posix_acl_access", "security.selinux")
_ALL_EVENTS = 0x02000FFF


def opened(chance: Random, root: int, path: str, flags: int) -> int:
    """A descriptor, by openat(2) or by openat2(2) with a way of resolving the path."""
    if flags & os.O_CREAT or chance.random() < 0.5:
        return os.open(path, flags, 0o666, dir_fd=root)
    how = struct.pack("QQQ", flags, 0, chance.choice(_RESOLVE))
    return call("openat2", root, _bytes(path), how, len(how))


def _bytes(path: str) -> bytes:
    return os.fsencode(path) + b"\0"


def _below(root: int, path: str) -> str:
    return f"/proc/self/fd/{root}/{path}"


def _stat(chance: Random, root: int, path: str) -> int:
    flags = _NOFOLLOW | chance.choice((0, _FORCE_SYNC, _DONT_SYNC))
    return call("statx", root, _bytes(path), flags, chance.getrandbits(12), ROOM)


def _access(chance: Random, root: int, path: str) -> int:
    mode = chance.choice((os.F_OK, os.R_OK, os.X_OK, os.R_OK | os.X_OK))
    flags = _NOFOLLOW | chance.choice((0, _EACCESS))
    return call("faccessat2", root, _bytes(path), mode, flags)


def _readlink(chance: Random, root: int, path: str) -> int:
    return call("readlinkat", root, _bytes(path), ROOM, chance.choice((1, 7, 4096)))


def _enter(_: Random, root: int, path: str) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW, dir_fd=root)
    try:
        os.fchdir(descriptor)
    finally:
        os.close(descriptor)
    with suppress(OSError):
        os.stat("status", follow_symlinks=False)
    os.chdir("/")
    return 0


def _attributes(_: Random, root: int, path: str) -> int:
    return len(os.listxattr(_below(root, path), follow_symlinks=False))


def _attribute(chance: Random, root: int, path: str) -> int:
    return len(os.getxattr(_below(root, path), chance.choice(_ATTRIBUTES), follow_symlinks=False))


def _handle(chance: Random, root: int, path: str) -> int:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
    mount = ctypes.create_string_buffer(4)
    call("name_to_handle_at", root, _bytes(path), handle, mount, 0)
    os.close(call("open_by_handle_at", root, handle, chance.choice((os.O_RDONLY, os.O_PATH))))
    return 0


def _watch(_: Random, root: int, path: str) -> int:
    inotify = call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return call("inotify_add_watch", inotify, _bytes(_below(root, path)), _ALL_EVENTS)
    finally:
        os.close(inotify)


def _run(_: Random, root: int, path: str) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            call("execveat", root, _bytes(path), 0, 0, _NOFOLLOW)
        finally:
            os._exit(1)
    return 1 - os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _set_attribute(chance: Random, root: int, path: str) -> int:
    os.setxattr(_below(root, path), chance.choice(_ATTRIBUTES), b"y", follow_symlinks=False)
    return 1


def _make(chance: Random, root: int, path: str) -> int:
    """A new name in a directory of the mirror: links lead out of it and are not followed."""
    how = struct.pack("QQQ", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _NO_SYMLINKS)
    place = call("openat2", root, _bytes(path), how, len(how))
    new = chance.choice(("new", "new.txt", "1", "status"))
    try:
        chance.choice(
            (
                lambda: os.mkdir(new, dir_fd=place),
                lambda: os.mkfifo(new, dir_fd=place),
                lambda: os.symlink("/nowhere", new, dir_fd=place),
                lambda: os.link("status", new, src_dir_fd=place, dst_dir_fd=place),
            )
        )()
    finally:
        os.close(place)
    return 1


def _remove(chance: Random, root: int, path: str) -> int:
    old, other = f"{path}.old", "uptime" if path == "version" else "version"
    chance.choice(
        (
            lambda: os.unlink(path, dir_fd=root),
            lambda: os.rmdir(path, dir_fd=root),
            lambda: os.rename(path, old, src_dir_fd=root, dst_dir_fd=root),
            lambda: call("renameat2", root, _bytes(path), root, _bytes(other), _EXCHANGE),
        )
    )()
    return 1


# What asks, and is answered alike; what FUSE answers otherwise; what nobody may do to a name.
ASKING: tuple[PathCall, ...] = (_stat, _stat, _access, _access, _readlink, _enter, _attributes)
OTHERWISE: tuple[PathCall, ...] = (_handle, _watch, _attribute)
REFUSED: tuple[PathCall, ...] = (_set_attribute, _make, _remove, _run)
