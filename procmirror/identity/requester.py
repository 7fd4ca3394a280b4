"""Who makes a request.

The FUSE header gives user, group and *thread* id of a request; groups and capabilities are in
/proc/TID/status, which cannot change while the thread waits for its answer (request_wait_answer,
fs/fuse/dev.c). If header and status disagree, the request is made with an identity that the status
does not describe (access(2), an io_uring personality), and the header is believed.
"""

from __future__ import annotations

import errno
from enum import Enum
from typing import NamedTuple

from procmirror.decoding.proc_files import stat_columns
from procmirror.identity import thread_calls
from procmirror.identity.confinement import Confinement
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Unanswered
from procmirror.identity.files import read_file
from procmirror.identity.identity import UNCHANGED, Identity
from procmirror.identity.namespaces import Namespaces, into_namespace
from procmirror.identity.request_identity import (
    agrees,
    has_rights,
    in_doubt,
    may_be_access_call,
    of_access_call,
    of_header,
    of_header_alone,
    of_status,
    without_root_ids,
)
from procmirror.identity.same_rights import SameRights
from procmirror.identity.status import StatusIds, parse_status
from procmirror.identity.system_call import is_access_call, is_open_call
from procmirror.identity.thread_files import ThreadFiles

# Flags of a task in include/linux/sched.h: it works for other tasks, and may hold credentials that
# those have given up.
_PF_IO_WORKER, _PF_USER_WORKER = 0x10, 0x4000
# The index of the flags among the columns of stat after the name (column 9 of proc_pid_stat(5)).
_STAT_FLAGS = 6


class RequestKind(Enum):
    """What a request tells of the calls that it can come from.

    Only access(2) is judged by other capabilities than those of the thread, and it opens nothing.
    A ring of io_uring does at once, and not by a worker of the kernel, only what it opens without
    waiting, for which it adds O_NONBLOCK (io_openat2, io_uring/openclose.c).
    """

    # OPEN without O_NONBLOCK: the thread itself opens a file.
    OPEN = 1
    # OPEN with O_NONBLOCK, and OPENDIR, of which FUSE does not tell the flags here.
    OPEN_AT_ONCE = 2
    OTHER = 3


class Requester(NamedTuple):
    """The thread that makes a request.

    Thread, thread group, identity, the link text of the user namespace, and whether that is another
    one than the daemon's.
    """

    tid: int
    tgid: int
    identity: Identity
    user_namespace: str
    foreign: bool


class Requesters:
    """Finds out who makes a request.

    `proc` is a descriptor of a procfs of the pid namespace of the mount, the one in which FUSE
    names threads.
    """

    def __init__(
        self, proc: int, credentials: Credentials, *, ignores_modules: bool = False
    ) -> None:
        self.proc = proc
        self.namespaces = Namespaces(proc)
        self.confinement = Confinement(proc, ignored=ignores_modules)
        self._credentials = credentials
        # What was found out last of a thread, and from what.
        self._known: dict[int, tuple[StatusIds, int, int, bytes, Requester]] = {}
        self._files = ThreadFiles(proc, self._gone)
        self._same = SameRights(self._files, credentials, self.namespaces.user_link)

    def identify(
        self, tid: int, uid: int, gid: int, kind: RequestKind = RequestKind.OTHER
    ) -> Requester:
        """The requester behind a FUSE header.

        Raises Unanswered(EACCES) if the thread is in no pid namespace below the mount's, or its
        status is not as expected; StillRunning if it cannot be told yet.
        """
        try:
            requester = self._identify(tid, uid, gid, kind)
        except (OSError, ValueError) as unknown:
            raise Unanswered(errno.EACCES, f"requester {tid} unknown: {unknown}") from unknown
        if not self._credentials.privileged and not self._is_admitted(requester):
            raise Unanswered(errno.EACCES, "this mount serves its owner only")
        return requester

    def _gone(self, tid: int) -> None:
        self._known.pop(tid, None)
        self._same.forget(tid)

    def _identify(self, tid: int, uid: int, gid: int, kind: RequestKind) -> Requester:
        if tid == 0:
            raise ValueError("not of this pid namespace")
        if self._same.has_still(tid, uid, gid) and (
            kind is not RequestKind.OPEN_AT_ONCE or self._opens(tid)
        ):
            return self._known[tid][4]
        link = self.namespaces.user_of(tid)
        foreign = link != self.namespaces.user_link
        if foreign:
            self._files.refuse_again(tid)
        status = parse_status(self._files.status(tid, whole=not foreign))
        identity = self._exception(tid, uid, gid, status, link, kind)
        if identity is None:
            return self._of_thread(tid, uid, gid, status, link, foreign=foreign)
        return Requester(tid, status.tgid, identity, link.decode(), foreign)

    def _opens(self, tid: int) -> bool:
        """Whether a thread itself opens something, and no ring of io_uring for it."""
        call = self._files.call(tid)
        return call is not None and is_open_call(call)

    def _of_thread(
        self, tid: int, uid: int, gid: int, status: StatusIds, link: bytes, *, foreign: bool
    ) -> Requester:
        """The requester that status and header describe: the same object while both are the same.

        `parse_status` gives the same object for the same lines.
        """
        known = self._known.get(tid)
        if known and known[0] is status and known[1:4] == (uid, gid, link):
            if not foreign:
                self._same.remember(tid, uid, gid, known[4].identity)
            return known[4]
        identity = of_status(uid, gid, status)
        found = Requester(tid, status.tgid, identity, link.decode(), foreign)
        # A thread that has one identity after the other, by setfsuid(2), is known by the last.
        self._same.forget(tid)
        if self._files.keeps(tid):
            self._known[tid] = status, uid, gid, link, found
        return found

    def _exception(
        self, tid: int, uid: int, gid: int, status: StatusIds, link: bytes, kind: RequestKind
    ) -> Identity | None:
        """The identity of a requester who is not what its status says; None for any other."""
        if tid != status.tgid and is_kernel_worker(self.proc, tid):
            return of_header_alone(uid, gid)
        if not agrees(uid, gid, status):
            return self._by_header(tid, uid, gid, status, link, kind)
        return self._by_call(tid, uid, gid, status, link, kind)

    def _by_header(
        self, tid: int, uid: int, gid: int, status: StatusIds, link: bytes, kind: RequestKind
    ) -> Identity:
        """The identity of a requester whose header has other ids: in access(2), or of others."""
        call = self._files.call(tid) if kind is RequestKind.OTHER else ()
        if call is not None and not is_access_call(call):
            return of_header_alone(uid, gid)
        is_real = uid == status.uids[0]
        root = self.namespaces.root_of(tid, link.decode()) if is_real else -1
        found = of_header(uid, gid, status, root)
        return found if call else without_root_ids(in_doubt(found, status))

    def _by_call(
        self, tid: int, uid: int, gid: int, status: StatusIds, link: bytes, kind: RequestKind
    ) -> Identity | None:
        """The identity where the system call decides about it."""
        if kind is RequestKind.OTHER:
            if not may_be_access_call(uid, gid, status):
                return None
            call = self._files.call(tid)
            if call is None or is_access_call(call):
                root = self.namespaces.root_of(tid, link.decode())
                found = of_access_call(uid, gid, status, root)
                return found if call else in_doubt(found, status)
        elif kind is RequestKind.OPEN_AT_ONCE and has_rights(gid, status):
            call = self._files.call(tid)
            if call is not None and not is_open_call(call):
                return of_header_alone(uid, gid)
        return None

    def forget(self) -> None:
        """Close the files that are kept open; some of the threads have ended."""
        self._files.forget()

    def _is_admitted(self, requester: Requester) -> bool:
        """Whether an unprivileged daemon may answer a requester with its own rights.

        It may if the requester has the same ids and at least these rights. A requester in another
        user namespace is answered by a worker there, and the kernel lets that worker only into
        namespaces of its own user.
        """
        own, theirs = self._credentials.rest, requester.identity
        return requester.foreign or (
            (own.uid, own.gid, own.euid, own.egid)
            == (theirs.uid, theirs.gid, theirs.euid, theirs.egid)
            and set(own.groups) - {own.gid} == set(theirs.groups) - {theirs.gid}
            and own.capabilities & ~theirs.capabilities == 0
        )

    def worker_identity(self, requester: Requester) -> Identity:
        """The identity that a worker takes on to act as a requester.

        A worker of an unprivileged daemon takes it on inside the requester's user namespace, so it
        is given in the numbers of that namespace. KEEP and UNCHANGED stand for the daemon's own
        ids, which that namespace need not map. Raises Unanswered(EACCES) if it lacks another id.
        """
        theirs, own = requester.identity, self._credentials.rest
        if self._credentials.privileged or not requester.foreign:
            return theirs
        users, groups = self.namespaces.id_maps_of(requester.tid)
        if theirs.effective != (theirs.uid, theirs.gid):
            raise Unanswered(
                errno.EACCES, "the requester's ids for files are not its effective ids"
            )
        return Identity(
            thread_calls.KEEP if theirs.uid == own.uid else into_namespace(users, theirs.uid),
            thread_calls.KEEP if theirs.gid == own.gid else into_namespace(groups, theirs.gid),
            UNCHANGED
            if set(theirs.groups) == set(own.groups)
            else tuple(into_namespace(groups, group) for group in theirs.groups),
            theirs.capabilities,
        )


def is_kernel_worker(proc: int, tid: int) -> bool:
    """Whether the kernel made a thread to work for a process (io_uring, vhost)."""
    flags = int(stat_columns(read_file(proc, b"%d/stat" % tid))[_STAT_FLAGS])
    return bool(flags & (_PF_IO_WORKER | _PF_USER_WORKER))
