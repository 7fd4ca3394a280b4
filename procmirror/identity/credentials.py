"""Who asks, and acting in his name: the only place where an identity is found out or changed.

The FUSE header tells user, group and *thread* id of a request; groups and capabilities stand in
/proc/TID/status, which cannot change while the thread waits for our answer (request_wait_answer,
fs/fuse/dev.c). Where header and status disagree the request is made under an identity that status
does not describe (access(2), an io_uring personality), and the header wins.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import lru_cache
from typing import NamedTuple

from procmirror.identity import linux

CAP_DAC_READ_SEARCH = 1 << 2
CAP_SYS_PTRACE = 1 << 19
CAP_SYS_ADMIN = 1 << 21
CAP_SYS_NICE = 1 << 23
# Task flags of include/linux/sched.h: a thread that works for others and may hold credentials they
# have given up.
_PF_IO_WORKER, _PF_USER_WORKER = 0x10, 0x4000
# access(2), faccessat(2), faccessat2(2): x86_64's numbers, or the generic table's.
_FACCESSAT2 = b"439"
_ACCESS = {b"21", b"269", _FACCESSAT2} if os.uname().machine == "x86_64" else {b"48", _FACCESSAT2}
# All but `user`: what else the answer to a read may depend on (procfs-relevant namespaces of
# nsproxy).
NAMESPACES = ("net", "uts", "ipc", "cgroup", "time")

# How many threads' status files are kept open, for who asks again: opening one takes a third of the
# time of reading it.
_KEPT = 16
_KEYS = (b"Tgid", b"Uid", b"Gid", b"Groups", b"CapPrm", b"CapEff")
_FIELD = re.compile(rb"\n(%s):\t([^\n]*)(?=\n)" % b"|".join(_KEYS))


IdMap = list[tuple[int, ...]]


_PIECE = 1 << 14


# The account of those whose uid is 0 and who lack rights of root's, as in a container without a
# user namespace.
_LESSER_ROOTS = -1

# The groups of an identity that is taken on with the groups that there are.
UNCHANGED = (linux.KEEP,)


class Unanswered(OSError):
    """The kernel was not asked.

    The requester is unknown, over his budget, out of time, or the worker was lost.
    """


class Identity(NamedTuple):
    """What the kernel judges a task by, as far as one user namespace goes.

    `uid` and `gid` are those that file systems see; the effective ones, by which sysctls are
    judged, stand behind where a task has made them differ (setfsuid(2)), else -1.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    capabilities: int
    euid: int = -1
    egid: int = -1

    @property
    def effective(self) -> tuple[int, int]:
        """The effective user and group id."""
        return (self.uid if self.euid < 0 else self.euid), (
            self.gid if self.egid < 0 else self.egid
        )


class Requester(NamedTuple):
    """Who asks: thread, process, identity.

    The link text of his user namespace, and whether it is the daemon's.
    """

    tid: int
    tgid: int
    identity: Identity
    user_namespace: str
    foreign: bool


class _Scope:
    """The time between taking on an identity and giving it back."""

    __slots__ = ("_capabilities", "_credentials", "_identity")

    def __init__(self, credentials: Credentials, identity: Identity, capabilities: int) -> None:
        self._credentials = credentials
        self._identity = identity
        self._capabilities = capabilities

    def __enter__(self) -> None:
        self._credentials.assume(self._identity, self._capabilities)

    def __exit__(self, *_: object) -> None:
        self._credentials.restore(self._identity)


_AT_REST = nullcontext()


class Credentials:
    """This process's own identity, and those it takes on for the length of one operation.

    `proc` is a descriptor of a procfs of the pid namespace of the mount: the one in which FUSE
    names threads.
    """

    def __init__(self, proc: int) -> None:
        self.proc = proc
        _, self.permitted, _ = linux.capget()
        self.rest = Identity(
            os.geteuid(), os.getegid(), tuple(sorted(os.getgroups())), self.permitted
        )
        self.privileged = _privileged(self.rest.uid, self.permitted)
        self._user_namespace = os.readlink(b"self/ns/user", dir_fd=proc)
        self.namespaces = {kind: self._own(kind) for kind in (*NAMESPACES, "mnt", "pid")}
        self.label = _label(proc, b"self")
        self._statuses: dict[int, int] = {}

    def _own(self, kind: str) -> str | None:
        try:
            return os.readlink(f"self/ns/{kind}", dir_fd=self.proc)
        except FileNotFoundError:
            return None

    def identify(self, tid: int, uid: int, gid: int) -> Requester:
        """The requester behind a FUSE header.

        Raises Unanswered(EACCES) if the thread is in no pid namespace below the mount's, or its
        status is not as it must be.
        """
        try:
            requester = self._identify(tid, uid, gid)
        except (OSError, ValueError) as unknown:
            raise Unanswered(errno.EACCES, f"requester {tid} unknown: {unknown}") from unknown
        if not self.privileged and not self._admitted(requester):
            raise Unanswered(errno.EACCES, "this mount serves its owner only")
        return requester

    def _identify(self, tid: int, uid: int, gid: int) -> Requester:
        if tid == 0:
            raise ValueError("not of this pid namespace")
        name = b"%d" % tid
        tgid, (ruid, euid, _, fsuid), (rgid, egid, _, fsgid), groups, permitted, capabilities = (
            _told(self._status(tid, name))
        )
        namespace = os.readlink(name + b"/ns/user", dir_fd=self.proc)
        if tid != tgid and self._works_for_others(name):
            groups, capabilities = (), 0
        elif (uid, gid) != (fsuid, fsgid):
            capabilities = permitted if uid == ruid == self._root_of(name, namespace) else 0
            groups = groups if (uid, gid) == (ruid, rgid) else ()
        elif (
            (uid, gid) == (ruid, rgid)
            and (capabilities if uid else capabilities != permitted)
            and self._asks_for_real_ids(name)
        ):
            capabilities = permitted if uid == self._root_of(name, namespace) else 0
        agree = (uid, gid) == (fsuid, fsgid)
        identity = Identity(
            uid,
            gid,
            groups,
            capabilities,
            euid if agree and euid != uid else -1,
            egid if agree and egid != gid else -1,
        )
        foreign = namespace != self._user_namespace
        return Requester(tid, tgid, identity, namespace.decode(), foreign)

    def _status(self, tid: int, name: bytes) -> bytes:
        """What the kernel says of a thread now, by a descriptor that is kept.

        ESRCH for good once the thread has ended.
        """
        known = self._statuses.get(tid, -1)
        if known >= 0:
            with suppress(OSError):
                status = os.pread(known, _PIECE, 0)
                if 0 < len(status) < _PIECE:
                    return status
            del self._statuses[tid]
            os.close(known)
        opened = os.open(name + b"/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.proc)
        try:
            status = _to_its_end(opened)
        except BaseException:
            os.close(opened)
            raise
        if len(status) >= _PIECE:
            os.close(opened)
            return status
        self._statuses[tid] = opened
        if len(self._statuses) > _KEPT:
            os.close(self._statuses.pop(next(iter(self._statuses))))
        return status

    def forget(self) -> None:
        """Close what is kept of threads that asked, of which some will have ended."""
        while self._statuses:
            _, known = self._statuses.popitem()
            os.close(known)

    def _works_for_others(self, name: bytes) -> bool:
        stat = _whole(self.proc, name + b"/stat")
        flags = int(stat[stat.rindex(b")") + 2 :].split()[6])
        return bool(flags & (_PF_IO_WORKER | _PF_USER_WORKER))

    def _root_of(self, name: bytes, namespace: bytes) -> int:
        """The uid here of the root of a requester's user namespace, -1 if it has none."""
        if namespace == self._user_namespace:
            return 0
        ranges = (
            tuple(map(int, line.split()))
            for line in _whole(self.proc, name + b"/uid_map").splitlines()
        )
        return next((own for first, own, _ in ranges if first == 0), -1)

    def _asks_for_real_ids(self, name: bytes) -> bool:
        """Whether a thread is in access(2) or a kin of it, for which the kernel replaces its capabilities (fs/open.c)."""
        try:
            call = _whole(self.proc, name + b"/syscall").split()
        except OSError:
            return False
        return call[0] in _ACCESS and not (
            call[0] == _FACCESSAT2 and int(call[4], 16) & linux.AT_EACCESS
        )

    def _admitted(self, requester: Requester) -> bool:
        """Whether an unprivileged daemon may answer with its own rights.

        To one who has them too, and no other ids.

        Who is in another user namespace is not answered by the daemon itself, and the kernel lets
        its helper into no namespace but those of its user.
        """
        own, his = self.rest, requester.identity
        return requester.foreign or (
            (own.uid, own.gid, own.euid, own.egid) == (his.uid, his.gid, his.euid, his.egid)
            and set(own.groups) - {own.gid} == set(his.groups) - {his.gid}
            and own.capabilities & ~his.capabilities == 0
        )

    def all_namespaces_of(self, tid: int) -> dict[str, str]:
        """All namespaces of the requester by kind, as link texts.

        What this kernel does not have is left out.
        """
        found = {}
        for kind in (*NAMESPACES, "mnt", "pid", "user"):
            with suppress(OSError):
                found[kind] = os.readlink(f"{tid}/ns/{kind}", dir_fd=self.proc)
        return found

    def namespaces_of(self, tid: int, kinds: Sequence[str] = NAMESPACES) -> dict[str, str]:
        """Those of the requester's namespaces that are not the daemon's, by kind."""
        name = b"%d/ns/" % tid
        try:
            links = {
                kind: os.readlink(name + kind.encode(), dir_fd=self.proc).decode()
                for kind in kinds
                if self.namespaces[kind]
            }
        except OSError as unknown:
            raise Unanswered(
                errno.EACCES, f"namespaces of requester {tid} unknown: {unknown}"
            ) from unknown
        return {kind: link for kind, link in links.items() if link != self.namespaces[kind]}

    def ids_seen_by(self, tid: int) -> tuple[IdMap, IdMap]:
        """How the user namespace of a requester numbers users and groups.

        Ranges of (inside, here, length).
        """
        try:
            users, groups = (
                [
                    tuple(map(int, line.split()))
                    for line in _whole(self.proc, b"%d/%s" % (tid, name)).splitlines()
                ]
                for name in (b"uid_map", b"gid_map")
            )
        except (OSError, ValueError) as unknown:
            raise Unanswered(
                errno.EACCES, f"id maps of requester {tid} unknown: {unknown}"
            ) from unknown
        return users, groups

    def there(self, requester: Requester) -> Identity:
        """What a helper takes on to be the requester.

        Of an unprivileged daemon it does so inside the requester's user namespace: by the numbers
        there, but KEEP and UNCHANGED for what is the daemon's own, which need not have a number.
        """
        his, own = requester.identity, self.rest
        if self.privileged or not requester.foreign:
            return his
        users, groups = self.ids_seen_by(requester.tid)
        if his.effective != (his.uid, his.gid):
            raise Unanswered(
                errno.EACCES, "the requester is one for files and another for the rest"
            )
        return Identity(
            linux.KEEP if his.uid == own.uid else there(users, his.uid),
            linux.KEEP if his.gid == own.gid else there(groups, his.gid),
            UNCHANGED
            if set(his.groups) == set(own.groups)
            else tuple(there(groups, group) for group in his.groups),
            his.capabilities,
        )

    def confined(self, tid: int) -> bool:
        """Whether a security module confines the requester otherwise than the daemon."""
        return self.label is not None and self.label_of(tid) != self.label

    def label_of(self, tid: int) -> bytes | None:
        """The confinement of a requester by a security module, None where no module has one."""
        return _label(self.proc, b"%d" % tid)

    def account(self, requester: Requester) -> int:
        """Who pays for what a requester uses.

        A uid, 0 for nobody but root with all the rights of this process.

        In another user namespace it is that of who made the outermost one he is in: one with 65,536
        subordinate uids is one account. Each that root made is one of its own, and so are together
        all who are called root and lack rights.
        """
        identity = requester.identity
        if not requester.foreign:
            lesser = identity.uid == 0 and self.permitted & ~identity.capabilities
            return _LESSER_ROOTS if lesser else identity.uid
        inode, uid = _outermost(self.proc, requester.tid)
        return uid or -inode

    def acting_as(self, identity: Identity, bonus: int = 0) -> AbstractContextManager[None]:
        """A scope whose block is carried out as `identity`, with the capabilities in `bonus` added.

        Only effective ids and capabilities change, so that nobody may signal this process
        meanwhile. If the way back fails the process ends at once.
        """
        capabilities = (identity.capabilities | bonus) & self.permitted
        if not self.privileged or (capabilities == self.permitted and identity == self.rest):
            return _AT_REST
        return _Scope(self, identity, capabilities)

    def equals(self, identity: Identity) -> bool:
        """Whether somebody has just the rights of this process, and may trace whatever there is in its user namespace."""
        return self.privileged and bool(self.permitted & CAP_SYS_PTRACE) and identity == self.rest

    def assume(self, identity: Identity, capabilities: int) -> None:
        """Take on an identity; Unanswered if the kernel does not let us."""
        try:
            if identity.groups != self.rest.groups:
                linux.setgroups(identity.groups)
            euid, egid = identity.effective
            linux.setresgid(linux.KEEP, egid, linux.KEEP)
            linux.setresuid(linux.KEEP, euid, linux.KEEP)
            if (euid, egid) != (identity.uid, identity.gid):
                linux.capset(self.permitted, self.permitted)
                linux.setfsgid(identity.gid)
                linux.setfsuid(identity.uid)
            linux.capset(capabilities, self.permitted)
        except OSError as refused:
            self.restore(identity)
            raise Unanswered(errno.EACCES, f"cannot act as {identity}") from refused

    def restore(self, identity: Identity) -> None:
        """Be oneself again, or end."""
        try:
            linux.setresuid(linux.KEEP, self.rest.uid, linux.KEEP)
            linux.capset(self.permitted, self.permitted)
            linux.setresgid(linux.KEEP, self.rest.gid, linux.KEEP)
            if identity.groups != self.rest.groups:
                linux.setgroups(self.rest.groups)
        except OSError:
            os.abort()


class _Told(NamedTuple):
    """What a status file says of rights.

    Real, effective, saved and file system ids, capabilities as masks.
    """

    tgid: int
    uids: tuple[int, int, int, int]
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    permitted: int
    effective: int


def _told(status: bytes) -> _Told:
    """What a status file says of rights. Its first line (the name) may say anything.

    Each key must stand there once.
    """
    start = status.index(b"\n")
    groups = status.index(b"\nGroups:", start)
    capabilities = status.index(b"\nCapInh:", groups)
    # All lines before the sizes, and those from the capabilities to the bounding set.
    ids = status[start : status.index(b"\n", groups + 1) + 1]
    # Who has thousands of groups is read each time.
    read = _read_from if len(ids) < _PIECE // 4 else _read_from.__wrapped__
    return read(ids, status[capabilities : status.index(b"\nCapBnd:", capabilities) + 1])


@lru_cache(maxsize=64)
def _read_from(ids: bytes, masks: bytes) -> _Told:
    """The same of the lines that matter; those of who asks again say what they said before."""
    keys, values = zip(*_FIELD.findall(ids + masks), strict=True)
    if keys != _KEYS:
        raise ValueError(f"{keys} instead of {_KEYS}")
    tgid, uids, gids, groups, permitted, effective = values
    ruid, euid, suid, fsuid = map(int, uids.split())
    rgid, egid, sgid, fsgid = map(int, gids.split())
    return _Told(
        int(tgid),
        (ruid, euid, suid, fsuid),
        (rgid, egid, sgid, fsgid),
        _groups(groups),
        int(permitted, 16),
        int(effective, 16),
    )


@lru_cache(maxsize=8)
def _groups(value: bytes) -> tuple[int, ...]:
    """Group ids; those of who opens many files, and has many of them, are held once."""
    return tuple(map(int, value.split()))


def _whole(directory: int, path: bytes) -> bytes:
    """A file that the kernel makes in one piece."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return _to_its_end(descriptor)
    finally:
        os.close(descriptor)


def _to_its_end(descriptor: int) -> bytes:
    """All that is there: less than was asked for is all."""
    content = os.read(descriptor, _PIECE)
    while len(content) % _PIECE == 0 and (more := os.read(descriptor, _PIECE)):
        content += more
    return content


def _label(proc: int, name: bytes) -> bytes | None:
    """The confinement of a task by a security module, None where no module has one."""
    for path in (b"/attr/apparmor/current", b"/attr/current"):
        try:
            return _whole(proc, name + path).rstrip(b"\0\n")
        except OSError:
            continue
    return None


def _privileged(uid: int, permitted: int) -> bool:
    """Whether a process may act as others: root, of its user namespace."""
    return uid == 0 and bool(permitted & CAP_SYS_ADMIN)


def become(identity: Identity, namespaces: dict[str, int]) -> None:
    """Turn this single-threaded process for good into one in the given namespaces (descriptors by kind).

    With a user namespace among them it also takes on the identity, capabilities and all: what the
    kernel then answers is what it answers the requester. Without one it stays what it is and acts
    as others for each operation.

    An ordinary user's process has rights in user namespaces of his only, so that it goes there
    first; the identity is then told in the numbers of that namespace (`Credentials.there`).
    """
    _, permitted, _ = linux.capget()
    kinds = [kind for kind in NAMESPACES if kind in namespaces]
    below = "user" in namespaces and not _privileged(os.geteuid(), permitted)
    for kind in ["user", *kinds] if below else kinds:
        linux.setns(namespaces[kind], kind)
    if "user" in namespaces:
        _take_on(identity)
        if not below:
            linux.setns(namespaces["user"], "user")
        linux.capset(identity.capabilities, identity.capabilities)
    linux.forbid_dumps()
    linux.die_with_parent()


def _take_on(identity: Identity) -> None:
    """All ids of an identity, but for those that are to stay; the capabilities stay too."""
    _, permitted, _ = linux.capget()
    if identity.groups != UNCHANGED:
        linux.setgroups(identity.groups)
    linux.keep_capabilities()
    euid, egid = identity.effective
    linux.setresgid(egid, egid, egid)
    linux.setresuid(euid, euid, euid)
    linux.capset(permitted, permitted)
    if (euid, egid) != (identity.uid, identity.gid):
        linux.setfsgid(identity.gid)
        linux.setfsuid(identity.uid)


def there(ids: IdMap, own: int) -> int:
    """The id in another namespace for one of this, as its map tells.

    Unanswered if the map lacks it.
    """
    for first, here_first, length in ids:
        if here_first <= own < here_first + length:
            return first + own - here_first
    raise Unanswered(errno.EACCES, f"id {own} has no number in the requester's user namespace")


def here(ids: IdMap, inside: int) -> int:
    """The id of this namespace for one of another, as its map tells; one that the map lacks stays."""
    return next(
        (own + inside - first for first, own, length in ids if first <= inside < first + length),
        inside,
    )


def _outermost(proc: int, tid: int) -> tuple[int, int]:
    """The outermost user namespace below ours that a thread is in.

    Its inode, and the uid of who made it.
    """
    own = os.stat("self/ns/user", dir_fd=proc).st_ino
    descriptor = os.open(b"%d/ns/user" % tid, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    while True:
        try:
            parent = linux.parent_of_namespace(descriptor)
        except OSError:
            parent = -1
        if parent < 0 or os.fstat(parent).st_ino == own:
            found = os.fstat(descriptor).st_ino, linux.owner_of_namespace(descriptor)
            os.close(descriptor)
            if parent >= 0:
                os.close(parent)
            return found
        os.close(descriptor)
        descriptor = parent
