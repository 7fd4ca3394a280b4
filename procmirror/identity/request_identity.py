"""The identity of a request, from the FUSE header and the status of its thread.

Where the two disagree, the request is made with an identity that the status does not describe.
"""

from __future__ import annotations

from procmirror.identity.identity import Identity
from procmirror.identity.status import StatusIds


def agrees(uid: int, gid: int, status: StatusIds) -> bool:
    """Whether a header has the ids for file systems that the status tells."""
    return (uid, gid) == (status.uids[3], status.gids[3])


def has_rights(gid: int, status: StatusIds) -> bool:
    """Whether a thread has rights besides those of its ids."""
    return bool(status.effective) or bool(status.groups and status.groups != (gid,))


def of_status(uid: int, gid: int, status: StatusIds) -> Identity:
    """The identity of a requester whose header agrees with its status."""
    euid, egid = status.uids[1], status.gids[1]
    return Identity(
        uid,
        gid,
        status.groups,
        status.effective,
        euid if euid != uid else -1,
        egid if egid != gid else -1,
    )


def of_header_alone(uid: int, gid: int) -> Identity:
    """The identity of a request of io_uring, or with credentials for something else.

    The status shows the credentials of the thread, not those of the request: only the ids of the
    header are believed. An effective id that the thread once had would be judged by sysctls.
    """
    return Identity(uid, gid, (), 0)


def of_header(uid: int, gid: int, status: StatusIds, root: int) -> Identity:
    """The identity of a requester in access(2) whose header has other ids than its status.

    access(2) works with the real ids, and with the permitted capabilities where the real user is
    the namespace's `root` (access_override_creds, fs/open.c). The effective ids, by which sysctls
    judge, stay those of the thread. Groups are those of the status only where both ids are the real
    ones.
    """
    (ruid, euid, *_), (rgid, egid, *_) = status.uids, status.gids
    return Identity(
        uid,
        gid,
        status.groups if (uid, gid) == (ruid, rgid) else (),
        status.permitted if uid == ruid == root else 0,
        euid if euid != uid else -1,
        egid if egid != gid else -1,
    )


def may_be_access_call(uid: int, gid: int, status: StatusIds) -> bool:
    """Whether access(2) would be judged by other capabilities than the effective ones."""
    differs = status.effective if uid else status.effective != status.permitted
    return bool(differs) and (uid, gid) == (status.uids[0], status.gids[0])


def of_access_call(uid: int, gid: int, status: StatusIds, root: int) -> Identity:
    """The identity of a requester in access(2) whose real ids are those for file systems.

    The kernel replaces the capabilities: by the permitted ones for the namespace's `root`, by none
    for everybody else (access_override_creds, fs/open.c).
    """
    capabilities = status.permitted if uid == root else 0
    return of_status(uid, gid, status)._replace(capabilities=capabilities)


def in_doubt(found: Identity, status: StatusIds) -> Identity:
    """The identity of a requester who may be in access(2) or not: what it may in both."""
    return found._replace(capabilities=found.capabilities & status.effective)


def without_root_ids(found: Identity) -> Identity:
    """An identity without effective ids of root's, which may be those of its thread alone."""
    uid, gid = found.effective
    return found._replace(euid=found.euid if uid else -1, egid=found.egid if gid else -1)
