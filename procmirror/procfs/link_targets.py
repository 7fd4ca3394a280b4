"""Whether the text of a link of procfs leads the requester to what the link stands for.

A magic link leads to an object; its text is the path of that object in the mount namespace that it
was opened in, which for another requester can lead to another file. The user who makes a mount
namespace chooses which: the text of a file bound over a path of root's leads root to root's file.
Sources: proc_pid_readlink (fs/proc/base.c), d_path (fs/d_path.c), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from procmirror.decoding.proc_files import MountLine, mount_lines
from procmirror.identity import file_calls
from procmirror.identity.files import READ
from procmirror.procfs.file_reading import THIS_THREAD, FileReading
from procmirror.procfs.local_files import is_remote

# What the kernel puts behind the path of what has no name any more.
_DELETED = b" (deleted)"
# What getcwd(2) puts before the path of a directory that its caller cannot reach. Such a text is a
# relative path, of a name that the mirror has nowhere.
UNREACHABLE = b"(unreachable)"
_MOST_TEXT = 4095
# Of so many paths it is kept through which mounts they lead.
_KEPT_WAYS = 256


class Link(NamedTuple):
    """The text of a link, and the object that it stands for: mount, device, inode.

    The object is None where the text is no path, or the requester may read the link and not follow
    it.
    """

    text: bytes
    object: tuple[int, str, int] | None = None
    is_directory: bool = False


def link_with_object(
    directory: int,
    path: bytes,
    own: int,
    *,
    files: FileReading = THIS_THREAD,
    text_first: bool = False,
) -> Link:
    """A link and its object at one moment; `own` is a procfs in which this process is `self`.

    Whoever reads `files` reads the link. With `text_first` the object is opened only where the text
    is a path, which is read anew then.
    """
    if text_first and (text := files.link(directory, path))[:1] != b"/":
        return Link(text)
    try:
        descriptor = files.object(directory, path)
    except OSError as refused:
        # map_files may be read by more than may follow it.
        if refused.errno == errno.EPERM:
            return Link(files.link(directory, path))
        raise
    mount: int | None = 0
    try:
        text = os.readlink(b"self/fd/%d" % descriptor, dir_fd=own)
        if text[:1] != b"/":
            # It is on a mount of the kernel's own.
            mount = None
            return Link(text)
        found, is_directory = file_calls.object_and_kind(descriptor)
        # The last descriptor of a file without a name takes its content down.
        mount = 0 if is_deleted(text) else found[0]
        return Link(text, found, is_directory)
    finally:
        files.close_object(descriptor, mount)


def is_deleted(text: bytes) -> bool:
    """Whether a text says that its object has no name."""
    return text.endswith(_DELETED)


def unreachable(text: bytes) -> bytes:
    """A text with `(unreachable)` before it, so that it leads nowhere."""
    return (UNREACHABLE + text)[:_MOST_TEXT]


def may_be_asked(mounts: Sequence[MountLine]) -> bool:
    """Whether a walk through these mounts asks no other process or machine."""
    return bool(mounts) and not any(
        is_remote(mount.fs_type.decode("ascii", "replace")) for mount in mounts
    )


_NO_LINKS = (
    file_calls.RESOLVE_IN_ROOT | file_calls.RESOLVE_NO_SYMLINKS | file_calls.RESOLVE_NO_MAGICLINKS
)
# What openat2(2) says of a path that is not in the kernel's cache, or of RESOLVE_CACHED itself.
_UNKNOWN = frozenset((errno.EAGAIN, errno.EINVAL))


def leads_elsewhere(
    root: int,
    text: bytes,
    device: str,
    inode: int,
    *,
    cached: bool = False,
    close: Callable[[int], object] = os.close,
) -> bool | None:
    """Whether a path below `root` leads to something else than an object.

    A path without an object leads elsewhere too, since opening it may make one; what has been
    deleted may lead to nothing. With `cached` no file system is asked, and the answer is None where
    the kernel does not know the names of the path, or before Linux 5.12. `close` closes what is
    found there.
    """
    resolve = _NO_LINKS | file_calls.RESOLVE_CACHED if cached else _NO_LINKS
    try:
        descriptor = file_calls.open_resolved(root, text, os.O_PATH | os.O_NOFOLLOW, resolve)
    except OSError as refused:
        if cached and refused.errno in _UNKNOWN:
            return None
        # A requester that may not go there, or cannot, is not led there.
        if refused.errno == errno.ENOENT:
            return not is_deleted(text)
        return refused.errno == errno.ELOOP
    try:
        _, *found = file_calls.object_of(descriptor)
    finally:
        close(descriptor)
    return found != [device, inode]


def cached_object(
    proc: int, tid: int, path: bytes, close: Callable[[int], object] = os.close
) -> tuple[int, str, int]:
    """Mount id, device and inode of what an absolute path without links leads a thread to.

    `proc` is a procfs that has the thread, `close` closes its root directory and what is
    found there. No file system is asked but that of the root directory (`AskingFilesystems`):
    OSError where the kernel does not know the names of the path, and before Linux 5.12.
    """
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    root = os.open(b"%d/root" % tid, flags, dir_fd=proc)
    try:
        resolve = _NO_LINKS | file_calls.RESOLVE_CACHED
        found = file_calls.open_resolved(root, path, os.O_PATH | os.O_NOFOLLOW, resolve)
    finally:
        close(root)
    try:
        return file_calls.object_of(found)
    finally:
        close(found)


class MountTree:
    """All mounts of one mount namespace, in the order in which they were mounted."""

    def __init__(self, mounts: Sequence[MountLine] = ()) -> None:
        self._mounts = mounts
        known = self._known = {mount.mount_id for mount in mounts}
        self._root = next((mount for mount in mounts if mount.parent_id not in known), None)
        # What was mounted last at a place lies on top.
        self._at = {(mount.parent_id, mount.mount_point): mount for mount in mounts}
        self._ways: dict[bytes, list[MountLine]] = {}

    def __iter__(self) -> Iterator[MountLine]:
        """All of them."""
        return iter(self._mounts)

    def has(self, mount: int) -> bool:
        """Whether a mount is one of them, by its id."""
        return mount in self._known

    def way(self, path: bytes) -> list[MountLine]:
        """The mounts that the walk along an absolute path without links goes through, in order."""
        known = self._ways.get(path)
        if known is None:
            if len(self._ways) >= _KEPT_WAYS:
                self._ways.clear()
            known = self._ways[path] = self._walked(path)
        return known

    def _walked(self, path: bytes) -> list[MountLine]:
        found = dict[int, MountLine]()
        here, above, at = self._root, [b"/", *_above(path)], 0
        while here is not None and here.mount_id not in found:
            number = here.mount_id
            found[number] = here
            # What is mounted on a mount is at its place or below it.
            while at < len(above) and (number, above[at]) not in self._at:
                at += 1
            here = self._at[number, above[at]] if at < len(above) else None
        return list(found.values())


def _above(path: bytes) -> Iterator[bytes]:
    """Each place on the way to an absolute path but the root, and the path itself."""
    end = path.find(b"/", 1)
    while end > 0:
        yield path[:end]
        end = path.find(b"/", end + 1)
    yield path


# What the kernel writes in a mount point for the bytes that end a column (show_mountinfo).
_ESCAPES = ((b"\\", rb"\134"), (b" ", rb"\040"), (b"\t", rb"\011"), (b"\n", rb"\012"))


def mounts_along(mountinfo: bytes, path: bytes) -> list[MountLine]:
    """The mounts that the walk along a path goes through, by the mountinfo of a thread.

    Only the lines of the path are decoded, because there may be thousands of others.
    """
    escaped = path
    for byte, escape in _ESCAPES:
        escaped = escaped.replace(byte, escape)
    places = {b"/", *_above(escaped)}
    lines = [line for line in mountinfo.split(b"\n") if line and line.split(b" ", 5)[4] in places]
    return MountTree(mount_lines(b"\n".join(lines))).way(path)


class OwnMounts:
    """The mounts of this process's mount namespace, read again when they have changed."""

    def __init__(self, own: int) -> None:
        self._descriptor = os.open("self/mountinfo", READ, dir_fd=own)
        self._changes = select.poll()
        self._changes.register(self._descriptor, select.POLLPRI)
        self._mounts: MountTree | None = None

    def all(self) -> MountTree:
        """All of them."""
        if self._mounts is None or self._changes.poll(0):
            # They are read again the next time if that fails now.
            self._mounts = None
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            pieces = []
            while piece := os.read(self._descriptor, 1 << 16):
                pieces.append(piece)
            self._mounts = MountTree(mount_lines(b"".join(pieces)))
        return self._mounts
