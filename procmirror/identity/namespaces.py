"""The namespaces of requesters, and the numbers that user namespaces give to ids."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from procmirror.identity import file_calls
from procmirror.identity.errors import Unanswered
from procmirror.identity.files import READ, read_file

# All kinds but `user` on which the content of a file may depend (struct nsproxy).
NAMESPACES = ("net", "uts", "ipc", "cgroup", "time")

# Ranges of a uid_map or gid_map: (first id inside, first id here, length).
IdMap = Sequence[tuple[int, ...]]


def owner_of_mounts(directory: int, path: bytes) -> bytes:
    """The user namespace, as a link text, with whose rights a thread's mounts were made.

    OSError(EPERM) for one above this process's.
    """
    namespace = os.open(path + b"ns/mnt", READ, dir_fd=directory)
    try:
        owner = file_calls.parent_of_namespace(namespace)
    finally:
        os.close(namespace)
    try:
        return b"user:[%d]" % os.fstat(owner).st_ino
    finally:
        os.close(owner)


class Namespaces:
    """The namespaces of this process, with which those of requesters are compared.

    `proc` is a descriptor of a procfs of the pid namespace of the mount. A namespace is identified
    by the text of its link, like `net:[4026531840]`; None stands for a kind that this kernel lacks.
    """

    def __init__(self, proc: int) -> None:
        self.proc = proc
        self.user_link = os.readlink(b"self/ns/user", dir_fd=proc)
        self.user = self.user_link.decode()
        self.own = {kind: self._link_of_own(kind) for kind in (*NAMESPACES, "mnt", "pid")}

    def _link_of_own(self, kind: str) -> str | None:
        try:
            return os.readlink(f"self/ns/{kind}", dir_fd=self.proc)
        except FileNotFoundError:
            return None

    def user_of(self, tid: int) -> bytes:
        """The user namespace of a thread; OSError as the kernel raises it."""
        return os.readlink(b"%d/ns/user" % tid, dir_fd=self.proc)

    def all_of(self, tid: int, differing: Mapping[str, str] | None = None) -> dict[str, str]:
        """All namespaces of a thread by kind, without the kinds that this kernel lacks.

        `differing` are those of `NAMESPACES` that are not this process's, if they are known.
        """
        found = {}
        if differing is not None:
            found = {kind: link for kind in NAMESPACES if (link := self.own[kind])}
            found.update(differing)
        for kind in {*NAMESPACES, "mnt", "pid", "user"} - set(found):
            with suppress(OSError):
                found[kind] = os.readlink(f"{tid}/ns/{kind}", dir_fd=self.proc)
        return found

    def shares(self, tid: int, kind: str) -> bool:
        """Whether a thread is in the namespace of this process of one kind.

        Raises Unanswered(EACCES) if that cannot be read.
        """
        own = self.own[kind]
        try:
            return own is None or own == os.readlink(f"{tid}/ns/{kind}", dir_fd=self.proc)
        except OSError as unknown:
            raise _unreadable(tid, unknown) from unknown

    def differing_of(self, tid: int, kinds: Sequence[str] = NAMESPACES) -> dict[str, str]:
        """The namespaces of a thread that are not those of this process, by kind.

        Raises Unanswered(EACCES) if they cannot be read.
        """
        directory = b"%d/ns/" % tid
        try:
            links = {
                kind: os.readlink(directory + kind.encode(), dir_fd=self.proc).decode()
                for kind in kinds
                if self.own[kind]
            }
        except OSError as unknown:
            raise _unreadable(tid, unknown) from unknown
        return {kind: link for kind, link in links.items() if link != self.own[kind]}

    def id_maps_of(self, tid: int) -> tuple[IdMap, IdMap]:
        """How the user namespace of a thread numbers users and groups.

        Raises Unanswered(EACCES) if the maps cannot be read.
        """
        try:
            return self._id_map(tid, b"uid_map"), self._id_map(tid, b"gid_map")
        except (OSError, ValueError) as unknown:
            raise Unanswered(
                errno.EACCES, f"id maps of requester {tid} unknown: {unknown}"
            ) from unknown

    def root_of(self, tid: int, user_namespace: str) -> int:
        """The uid in this namespace of root in a thread's user namespace; -1 if it has none."""
        if user_namespace == self.user:
            return 0
        ranges = self._id_map(tid, b"uid_map")
        return next((outside for inside, outside, _ in ranges if inside == 0), -1)

    def _id_map(self, tid: int, name: bytes) -> IdMap:
        lines = read_file(self.proc, b"%d/%s" % (tid, name)).splitlines()
        return [tuple(map(int, line.split())) for line in lines]


def _unreadable(tid: int, why: OSError) -> Unanswered:
    return Unanswered(errno.EACCES, f"namespaces of requester {tid} unknown: {why}")


# What the kernel tells of an id that has no number in a user namespace (DEFAULT_OVERFLOWUID in
# include/linux/highuid.h).
OVERFLOW = 65534


def into_namespace(ids: IdMap, outside: int) -> int:
    """The id inside a user namespace of an id of this one.

    Raises Unanswered(EACCES) if the map lacks it.
    """
    for first, first_outside, length in ids:
        if first_outside <= outside < first_outside + length:
            return first + outside - first_outside
    raise Unanswered(errno.EACCES, f"id {outside} has no number in the requester's user namespace")


def from_namespace(ids: IdMap, inside: int) -> int:
    """The id in this namespace of an id inside another.

    An id that the map lacks is returned unchanged. What has no id inside is told as OVERFLOW there:
    it is root's here, and not that of whoever has this id there.
    """
    if inside == OVERFLOW:
        return 0
    return next(
        (
            first_outside + inside - first
            for first, first_outside, length in ids
            if first <= inside < first + length
        ),
        inside,
    )


def outermost_user_namespace(proc: int, tid: int, own: int = 0) -> tuple[int, int]:
    """Inode and owner's uid of the outermost user namespace around a thread, below this one.

    `own` is the inode of this user namespace, needed if `proc` has no `self`. Found by ioctl_ns(2);
    OSError as the kernel raises it.
    """
    own = own or os.stat("self/ns/user", dir_fd=proc).st_ino
    return outermost_around(os.open(b"%d/ns/user" % tid, READ, dir_fd=proc), own)


def outermost_around(descriptor: int, own: int) -> tuple[int, int]:
    """`outermost_user_namespace` of the user namespace that a descriptor is of; it is closed."""
    while True:
        try:
            parent = file_calls.parent_of_namespace(descriptor)
        except OSError as refused:
            if refused.errno != errno.EPERM:
                os.close(descriptor)
                raise
            # Above it is none, or none that this process sees.
            parent = -1
        if parent < 0 or os.fstat(parent).st_ino == own:
            found = os.fstat(descriptor).st_ino, file_calls.owner_of_namespace(descriptor)
            os.close(descriptor)
            if parent >= 0:
                os.close(parent)
            return found
        os.close(descriptor)
        descriptor = parent


def account_of_namespace(proc: int, tid: int) -> int:
    """The account of a thread in another user namespace: the uid that owns the outermost one.

    For a namespace that root made, it is the negative of the inode of the namespace. OSError as the
    kernel raises it.
    """
    inode, owner = outermost_user_namespace(proc, tid)
    return owner or -inode
