"""System calls on an open file, with arguments that chance chooses.

A number of bytes or zero comes out, or OSError. None of them waits, and none ends its process.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TypeAlias

from tests.attack.chances import ROOM, offset, place, size, written
from tests.permissions.calls import call

FileCall: TypeAlias = "Callable[[Random, int], int]"

# linux/fcntl.h, linux/stat.h
_SETLEASE, _OFD_GETLK, _OFD_SETLK, _EMPTY_PATH = 1024, 36, 37, 0x1000
# FIONREAD, FIGETBSZ, FS_IOC_GETFLAGS and SETFLAGS, FIBMAP, NS_GET_USERNS and _OWNER_UID, FIOCLEX,
# PROCMAP_QUERY, PAGEMAP_SCAN's number without its size.
_IOCTLS = (0x541B, 2, 0x80086601, 0x40086602, 1, 0xB701, 0xB704, 0x5451, 0xC0686611, 0x6610)
_PAGE = 4096


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield ends
    finally:
        os.close(ends[0])
        os.close(ends[1])


def _read(chance: Random, descriptor: int) -> int:
    return call("read", descriptor, ROOM, size(chance))


def _pread(chance: Random, descriptor: int) -> int:
    return call("pread64", descriptor, ROOM, size(chance), offset(chance))


def _preadv2(chance: Random, descriptor: int) -> int:
    buffers = [bytearray(chance.randrange(70_000)) for _ in range(chance.randrange(1, 5))]
    return os.preadv(descriptor, buffers, place(chance), chance.choice((0, os.RWF_HIPRI)))


def _seek(chance: Random, descriptor: int) -> int:
    os.lseek(descriptor, offset(chance), chance.choice((os.SEEK_SET, os.SEEK_CUR)))
    return 0


def _list(chance: Random, descriptor: int) -> int:
    if chance.random() < 0.5:
        os.lseek(descriptor, chance.randrange(1 << chance.randrange(1, 40)), os.SEEK_SET)
    return call("getdents64", descriptor, ROOM, chance.choice((1024, 4096, 32_768)))


def _status(chance: Random, descriptor: int) -> int:
    return call("statx", descriptor, b"\0", _EMPTY_PATH, chance.getrandbits(12), ROOM)


def _map(chance: Random, descriptor: int) -> int:
    """A page of the file; the kernel looks into it, as a page without bytes ends who looks."""
    protection = chance.choice((mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE))
    kind = chance.choice((mmap.MAP_PRIVATE, mmap.MAP_SHARED))
    at = _PAGE * chance.randrange(4)
    address = call("mmap", 0, _PAGE, protection, kind, descriptor, at)
    try:
        with _pipe() as (_, writing):
            return call("write", writing, address, 16)
    finally:
        call("munmap", address, _PAGE)


def _splice(chance: Random, descriptor: int) -> int:
    with _pipe() as (_, writing):
        return os.splice(descriptor, writing, size(chance), offset_src=place(chance))


def _send(chance: Random, descriptor: int) -> int:
    with open(os.devnull, "wb", buffering=0) as nowhere:
        return os.sendfile(nowhere.fileno(), descriptor, place(chance), size(chance))


def _copy(chance: Random, descriptor: int) -> int:
    start = place(chance)
    return os.copy_file_range(descriptor, descriptor, size(chance), start, start)


def _lock(chance: Random, descriptor: int) -> int:
    kind = chance.choice((fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN))
    if chance.random() < 0.5:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        return 0
    command = chance.choice((fcntl.F_SETLK, fcntl.F_GETLK, _OFD_SETLK, _OFD_GETLK))
    wanted = struct.pack("hhqqii", chance.randrange(3), 0, offset(chance), 0, 0, 0)
    fcntl.fcntl(descriptor, command, wanted)
    return 0


def _flags(chance: Random, descriptor: int) -> int:
    bits = chance.choice((os.O_APPEND, os.O_NONBLOCK, os.O_DIRECT, os.O_NOATIME))
    fcntl.fcntl(descriptor, fcntl.F_SETFL, bits)
    return 0


def _lease(chance: Random, descriptor: int) -> int:
    fcntl.fcntl(descriptor, _SETLEASE, chance.randrange(3))
    return 0


def _ioctl(chance: Random, descriptor: int) -> int:
    fcntl.ioctl(descriptor, chance.choice(_IOCTLS), bytearray(128))
    return 0


def _poll(_: Random, descriptor: int) -> int:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLPRI)
    poller.poll(0)
    with select.epoll() as epoll:
        epoll.register(descriptor, select.EPOLLIN)
        epoll.poll(0, 1)
    return 0


def _reopened(chance: Random, descriptor: int) -> int:
    flags = chance.choice((os.O_RDONLY, os.O_PATH, os.O_RDONLY | os.O_DIRECTORY))
    again = os.open(f"/proc/self/fd/{descriptor}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return call("read", again, ROOM, 100)
    finally:
        os.close(again)


def _found(chance: Random, descriptor: int) -> int:
    name = chance.choice(("status", "1", "fd", "x" * 255, "x" * 256, "0", "-1", "\n"))
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    os.close(os.open(name, flags, dir_fd=descriptor))
    return 1


def _advised(chance: Random, descriptor: int) -> int:
    start, length = place(chance), size(chance)
    os.posix_fadvise(descriptor, start, length, chance.randrange(6))
    call("readahead", descriptor, start, length)
    return 0


def _synced(chance: Random, descriptor: int) -> int:
    chance.choice((os.fsync, os.fdatasync))(descriptor)
    return 0


def _write(chance: Random, descriptor: int) -> int:
    return os.write(descriptor, written(chance))


def _pwrite(chance: Random, descriptor: int) -> int:
    start = chance.choice((0, 0, 1, 4096, 1 << 40))
    return os.pwrite(descriptor, written(chance) * chance.choice((1, 1, 5000)), start)


def _allocated(chance: Random, descriptor: int) -> int:
    call("fallocate", descriptor, chance.randrange(128), 0, size(chance))
    return 1


def _truncated(chance: Random, descriptor: int) -> int:
    os.ftruncate(descriptor, place(chance))
    return 0


# Where a directory stands means something else in each file system.
BY_PLACE: tuple[FileCall, ...] = (_list,)
# What reads and is answered alike; what FUSE answers otherwise; what changes.
READING: tuple[FileCall, ...] = (_read, _read, _pread, _pread, _preadv2, _list, _status, _found)
OTHERWISE: tuple[FileCall, ...] = (
    *(_seek, _map, _splice, _send, _copy, _lock, _flags, _lease, _ioctl, _poll, _reopened),
    *(_advised, _synced),
)
CHANGING: tuple[FileCall, ...] = (_write, _write, _pwrite, _allocated, _truncated)
