"""Whether the text of a link of procfs leads the requester to what the link stands for.

A magic link leads to an object; its text is the path of that object in the mount namespace that it
was opened in, which for another requester can lead to another file. Whoever makes a mount namespace
chooses which: a file bound over a path of root's has a text that leads root to root's file.
Sources: proc_pid_readlink (fs/proc/base.c), d_path (fs/d_path.c), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from procmirror.decoding.proc_files import MountLine, mount_lines
from procmirror.identity import file_calls
from procmirror.identity.files import READ
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


def link_with_object(directory: int, path: bytes, own: int) -> Link:
    """A link and its object at one moment; `own` is a procfs in which this process is `self`."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=directory)
    except OSError as refused:
        # map_files may be read by more than may follow it.
        if refused.errno == errno.EPERM:
            return Link(os.readlink(path, dir_fd=directory))
        raise
    try:
        text = os.readlink(b"self/fd/%d" % descriptor, dir_fd=own)
        return (
            Link(text, *file_calls.object_and_kind(descriptor)) if text[:1] == b"/" else Link(text)
        )
    finally:
        os.close(descriptor)


def is_deleted(text: bytes) -> bool:
    """Whether a text says that its object has no name."""
    return text.endswith(_DELETED)


def unreachable(text: bytes) -> bytes:
    """A text that says what it says, and leads nowhere."""
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
    root: int, text: bytes, device: str, inode: int, *, cached: bool = False
) -> bool | None:
    """Whether a path below `root` leads to something else than an object.

    A path without an object leads elsewhere too, since opening it may make one; what has been
    deleted may lead to nothing. With `cached` no file system is asked, and the answer is None where
    the kernel does not know the names of the path, or before Linux 5.12.
    """
    resolve = _NO_LINKS | file_calls.RESOLVE_CACHED if cached else _NO_LINKS
    try:
        descriptor = file_calls.open_resolved(root, text, os.O_PATH | os.O_NOFOLLOW, resolve)
    except OSError as refused:
        if cached and refused.errno in _UNKNOWN:
            return None
        # Whoever may not go there, or cannot, is not led there.
        if refused.errno == errno.ENOENT:
            return not is_deleted(text)
        return refused.errno == errno.ELOOP
    try:
        _, *found = file_calls.object_of(descriptor)
    finally:
        os.close(descriptor)
    return found != [device, inode]


class MountTree:
    """All mounts of one mount namespace, in the order in which they were mounted."""

    def __init__(self, mounts: Sequence[MountLine] = ()) -> None:
        self._mounts = mounts
        known = {mount.mount_id for mount in mounts}
        self._root = next((mount for mount in mounts if mount.parent_id not in known), None)
        # What was mounted last at a place lies on top.
        self._at = {(mount.parent_id, mount.mount_point): mount for mount in mounts}
        self._ways: dict[bytes, list[MountLine]] = {}

    def __iter__(self) -> Iterator[MountLine]:
        """All of them."""
        return iter(self._mounts)

    def way(self, path: bytes) -> list[MountLine]:
        """The mounts that the walk along an absolute path without links goes through, in order."""
        known = self._ways.get(path)
        if known is None:
            if len(self._ways) >= _KEPT_WAYS:
                self._ways.clear()
            known = self._ways[path] = self._walked(path)
        return known

    def _walked(self, path: bytes) -> list[MountLine]:
        here, found = self._root, list[MountLine]()
        above = [b"/", *_above(path)]
        while here is not None and here not in found:
            found.append(here)
            below = ((here.mount_id, place) for place in above)
            here = next((self._at[place] for place in below if place in self._at), None)
        return found


def _above(path: bytes) -> Iterator[bytes]:
    """Each place on the way to an absolute path but the root, and the path itself."""
    end = path.find(b"/", 1)
    while end > 0:
        yield path[:end]
        end = path.find(b"/", end + 1)
    yield path


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
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            pieces = []
            while piece := os.read(self._descriptor, 1 << 16):
                pieces.append(piece)
            self._mounts = MountTree(mount_lines(b"".join(pieces)))
        return self._mounts
