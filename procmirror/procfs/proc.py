"""The entries of /proc below a directory descriptor: attributes, links, contents and names.

Every function asks the kernel with the identity that this thread acts as. Magic links are never
followed.
"""

from __future__ import annotations

import errno
import os
import stat
from itertools import islice
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from procmirror.identity import file_calls

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


# Of the last access and the last change.
Times: TypeAlias = tuple[int | None, int | None]


class Attributes(NamedTuple):
    """The fields of stat(2) that FUSE passes on; times in nanoseconds."""

    mode: int
    inode: int
    nlink: int
    uid: int
    gid: int
    size: int
    blocks: int
    blksize: int
    atime: int
    mtime: int
    ctime: int


# A name in a directory and its type, S_IFMT of its mode; 0 if that is unknown.
Name = tuple[bytes, int]

# The fields of a stat_result in the order of `Attributes`, fetched by one call: this runs for every
# name of every listing.
_FIELDS = attrgetter(
    "st_mode",
    "st_ino",
    "st_nlink",
    "st_uid",
    "st_gid",
    "st_size",
    "st_blocks",
    "st_blksize",
    "st_atime_ns",
    "st_mtime_ns",
    "st_ctime_ns",
)


def _attributes(found: os.stat_result) -> Attributes:
    return tuple.__new__(Attributes, _FIELDS(found))


def attributes(directory: int, path: bytes) -> Attributes:
    """The attributes of an entry; links are not followed.

    An empty `path` means the directory itself, which answers even if its process has ended.
    """
    if not path:
        return _attributes(os.fstat(directory))
    return _attributes(os.stat(path, dir_fd=directory, follow_symlinks=False))


def link(directory: int, path: bytes) -> bytes:
    """The text of a symbolic link."""
    return os.readlink(path, dir_fd=directory)


def access(directory: int, path: bytes, mode: int) -> None:
    """Raise the refusal of faccessat2(2) for `mode`, if any."""
    file_calls.access(directory, path or b".", mode)


def open_file(directory: int, path: bytes, flags: int = os.O_RDONLY) -> int:
    """A descriptor that never waits for data (kmsg) and never becomes a terminal.

    `flags` are the access mode and O_TRUNC.
    """
    return os.open(path, READ | flags, dir_fd=directory)


def open_directory(directory: int, path: bytes) -> int:
    """A descriptor for listing a directory."""
    return os.open(path or b".", READ | os.O_DIRECTORY, dir_fd=directory)


def some_names(descriptor: int, most: int) -> list[Name] | None:
    """The names in an open directory, None if there are more than `most`."""
    found = _names(descriptor, most + 1)
    return found if len(found) <= most else None


def all_names(descriptor: int) -> list[Name]:
    """The names in an open directory."""
    return _names(descriptor, None)


def _names(descriptor: int, most: int | None) -> list[Name]:
    with os.scandir(descriptor) as entries:
        found = list(islice(entries, most))
    if not found:
        return []
    names = os.fsencode("\0".join([entry.name for entry in found])).split(b"\0")
    return list(zip(names, map(_kind, found), strict=True))


def _kind(entry: os.DirEntry[str]) -> int:
    """The type of an entry; 0 if it is another one, or if it has vanished or may not be asked for.

    Procfs tells it with the name, but where it could not look the name up (proc_fill_cache).
    """
    try:
        if entry.is_file(follow_symlinks=False):
            return stat.S_IFREG
        if entry.is_symlink():
            return stat.S_IFLNK
        return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else 0
    except OSError:
        return 0


def read(descriptor: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes at `offset`, in as many calls as the kernel needs for them.

    One call returns one internal buffer of a seq_file, and a request for each would be slow.
    """
    content = os.pread(descriptor, size, offset)
    if len(content) < 2048 or len(content) == size:
        return content
    return content + _after(descriptor, offset + len(content), size - len(content))


def _after(descriptor: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes at `offset`, as many as there are until one call fails."""
    pieces: list[bytes] = []
    have = 0
    while have < size:
        try:
            content = os.pread(descriptor, size - have, offset + have)
        except OSError:
            break
        if not content:
            break
        pieces.append(content)
        have += len(content)
    return b"".join(pieces)


def write(descriptor: int, data: bytes, offset: int) -> int:
    """Write bytes in one call, at a non-negative `offset` or at the position of the descriptor.

    Not pwrite(2), which a seq_file refuses, and no seek without need: it would make a seq_file
    produce its content.
    """
    if offset >= 0:
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
        except OSError as refused:
            if refused.errno != errno.ESPIPE:
                raise
    return os.write(descriptor, data)


def touch(directory: int, path: bytes, owner: tuple[int, int] | None, times: Times | None) -> None:
    """Set owner and group (-1 keeps one) or times (in nanoseconds, None keeps one) of the entry.

    Of a link itself. Procfs forgets most of them at once. None is for what the requester leaves
    out (UTIME_OMIT), which Python cannot say.
    """
    if owner:
        os.chown(path or b".", *owner, dir_fd=directory, follow_symlinks=False)
    if times:
        now = os.stat(path or b".", dir_fd=directory, follow_symlinks=False)
        accessed, modified = times
        wanted = (
            now.st_atime_ns if accessed is None else accessed,
            now.st_mtime_ns if modified is None else modified,
        )
        os.utime(path or b".", ns=wanted, dir_fd=directory, follow_symlinks=False)


def names(directory: int, path: bytes) -> list[bytes]:
    """The names in a directory, in the kernel's order."""
    descriptor = open_directory(directory, path)
    try:
        found = os.listdir(descriptor)
    finally:
        os.close(descriptor)
    return os.fsencode("\0".join(found)).split(b"\0") if found else []
