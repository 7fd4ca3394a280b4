"""Acting as a requester: the only place where this process changes its identity."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from procmirror.identity import confinement, own_process, thread_calls
from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import (
    CAP_SYS_ADMIN,
    CAP_SYS_PTRACE,
    UNCHANGED,
    Identity,
)
from procmirror.identity.namespaces import NAMESPACES
from procmirror.identity.process_ids import NOT_TOLD, user_ids

# Effective user ids that no user has: the last of all, and the last of a container's 65,536.
_NOBODYS = (0xFFFFFFFE, 65533)


class _Scope:
    """The time between assuming an identity and restoring the own one."""

    __slots__ = ("_capabilities", "_credentials", "_identity", "_whole")

    def __init__(
        self, credentials: Credentials, identity: Identity, capabilities: int, *, whole: bool
    ) -> None:
        self._credentials = credentials
        self._identity = identity
        self._capabilities = capabilities
        self._whole = whole

    def __enter__(self) -> None:
        self._credentials.assume(self._identity, self._capabilities, whole=self._whole)

    def __exit__(self, *_: object) -> None:
        self._credentials.restore(self._identity)


_AT_REST = nullcontext()


class Credentials:
    """The identity of this process, and those that it assumes for the length of one operation.

    `rest` is the identity between operations, `permitted` its permitted capabilities as a mask.
    `privileged` says whether the process may act as others.
    """

    def __init__(self) -> None:
        _, self.permitted, _ = thread_calls.capget()
        self.rest = Identity(
            os.geteuid(), os.getegid(), tuple(sorted(os.getgroups())), self.permitted
        )
        self.privileged = self.rest.uid == 0 and bool(self.permitted & CAP_SYS_ADMIN)
        self._nobodys = _euid_of_nobody() if self.privileged else None

    def acting_as(
        self, identity: Identity, self_capabilities: int = 0, *, whole: bool = False
    ) -> AbstractContextManager[None]:
        """A scope whose block runs as `identity`, with some capabilities added.

        `self_capabilities` is a mask of those that stand for the right of a task to look at itself.
        Real and saved ids do not change, so that nobody may signal this process meanwhile. The
        effective user id is one that no user has, because the owner of that id may change the
        scheduling of this process for good. Procfs judges by the id for file systems, and asks of
        the effective id only whether it is root's. With `whole` the effective id is the
        requester's, for files that remember their opener (uid_map). The process ends at once if it
        cannot restore its own identity.
        """
        capabilities = (identity.capabilities | self_capabilities) & self.permitted
        if not self.privileged or (capabilities == self.permitted and identity == self.rest):
            return _AT_REST
        return _Scope(self, identity, capabilities, whole=whole)

    @contextmanager
    def without(self, capabilities: int) -> Iterator[None]:
        """A part of a scope in which this thread lacks some capabilities (a mask)."""
        effective, permitted, _ = thread_calls.capget()
        if not self.privileged or not effective & capabilities:
            yield
            return
        thread_calls.capset(effective & ~capabilities, permitted)
        try:
            yield
        finally:
            thread_calls.capset(effective, permitted)

    def controls(self, pid: int) -> bool:
        """Whether a process has the user of this one for all its user ids.

        False of a process that has ended, and where the kernel does not tell it.
        """
        try:
            uids = user_ids(pid)
        except OSError as refused:
            return refused.errno in NOT_TOLD and self._controls_limits(pid)
        return uids == (self.rest.uid,) * len(uids)

    def _controls_limits(self, pid: int) -> bool:
        """Whether a process has the real user and group of this one for all its ids.

        Whoever may read its limits without CAP_SYS_RESOURCE has (check_prlimit_permission,
        kernel/sys.c). In a user namespace its owner has that capability by the effective user id,
        so for the question that is one that no user has.
        """
        if not self._nobodys:
            return False
        thread_calls.setresuid(thread_calls.KEEP, self._nobodys, thread_calls.KEEP)
        try:
            # The change from root's id to another has emptied the effective capabilities.
            resource.prlimit(pid, resource.RLIMIT_CORE)
        except OSError:
            return False
        finally:
            self.restore(self.rest._replace(euid=self._nobodys))
        return True

    def equals(self, identity: Identity) -> bool:
        """Whether an identity has all rights of this process, tracing among them."""
        return self.privileged and bool(self.permitted & CAP_SYS_PTRACE) and identity == self.rest

    def assume(self, identity: Identity, capabilities: int, *, whole: bool = False) -> None:
        """Assume an identity with these capabilities; Unanswered(EACCES) if the kernel refuses."""
        euid, egid = identity.effective
        if euid and self._nobodys and not whole:
            euid = self._nobodys
        try:
            if identity.groups != self.rest.groups:
                thread_calls.setgroups(identity.groups)
            if egid != self.rest.gid:
                thread_calls.setresgid(thread_calls.KEEP, egid, thread_calls.KEEP)
            if egid != identity.gid:
                thread_calls.setfsgid(identity.gid)
            if euid != self.rest.uid:
                thread_calls.setresuid(thread_calls.KEEP, euid, thread_calls.KEEP)
            if euid != identity.uid:
                # The change from root's id to another has emptied the effective set.
                thread_calls.capset(self.permitted, self.permitted)
                thread_calls.setfsuid(identity.uid)
            thread_calls.capset(capabilities, self.permitted)
        except OSError as refused:
            self.restore(identity)
            raise Unanswered(errno.EACCES, f"cannot act as {identity}") from refused

    def restore(self, identity: Identity) -> None:
        """Restore the own identity after `identity`; the process ends if the kernel refuses."""
        try:
            own = self.rest
            euid, egid = identity.effective
            if not identity.uid == euid == own.uid:
                thread_calls.setresuid(thread_calls.KEEP, own.uid, thread_calls.KEEP)
            thread_calls.capset(self.permitted, self.permitted)
            if not identity.gid == egid == own.gid:
                thread_calls.setresgid(thread_calls.KEEP, own.gid, thread_calls.KEEP)
            if identity.groups != self.rest.groups:
                thread_calls.setgroups(self.rest.groups)
        except OSError:
            os.abort()

    def become(
        self, identity: Identity, namespaces: dict[str, int], label: bytes = b"", own: int = -1
    ) -> None:
        """Move this single-threaded process into namespaces for good (descriptors by kind).

        If a user namespace is among them, or there is a label of a security module to take on, the
        process also takes on the identity with its capabilities and acts as nobody else afterwards:
        the kernel answers it as it would answer the requester. Otherwise the process keeps its
        identity and acts as others for each operation. `own` is a procfs in which this process is
        `self`.

        The process of an ordinary user has rights only in user namespaces of that user, so it
        enters the user namespace first. `identity` is then given in the numbers of that namespace
        (Requesters.worker_identity).
        """
        user = "user" in namespaces
        user_first = user and not self.privileged
        kinds = [kind for kind in NAMESPACES if kind in namespaces]
        for kind in ["user", *kinds] if user_first else kinds:
            thread_calls.setns(namespaces[kind], kind)
        if user or (label and self.privileged):
            take_on(identity)
        if user and not user_first:
            thread_calls.setns(namespaces["user"], "user")
        if label:
            # Last of what takes rights: under the label the kernel may refuse all of it.
            confinement.take_on(own, label)
        if user or label:
            kept = identity.capabilities if user else identity.capabilities & self.permitted
            thread_calls.capset(kept, kept)
            self.privileged = False
        own_process.forbid_dumps()
        own_process.die_with_parent()


def _euid_of_nobody() -> int | None:
    """An effective user id that no user has and this user namespace maps; None if there is none.

    It is tried as the id for file systems, which setfsuid(2) does not change if the id is not
    mapped.
    """
    for uid in _NOBODYS:
        try:
            thread_calls.setfsuid(uid)
        except OSError:
            continue
        thread_calls.setfsuid(os.geteuid())
        return uid
    return None


def drop_all() -> None:
    """Give up every right of this process for good: root's ids, groups, capabilities.

    Raises OSError if the kernel leaves it one.
    """
    nobody = _euid_of_nobody() if os.geteuid() == 0 else None
    if nobody is not None:
        # The map of a user namespace may have no number for groups, or no right to drop them.
        with suppress(OSError):
            thread_calls.setgroups(())
            thread_calls.setresgid(nobody, nobody, nobody)
        thread_calls.setresuid(nobody, nobody, nobody)
    thread_calls.capset(0, 0)
    if any(thread_calls.capget()):
        raise PermissionError(errno.EPERM, "capabilities are left")
    own_process.forbid_dumps()
    own_process.forbid_new_privileges()


def take_on(identity: Identity) -> None:
    """Take on all ids of an identity for good, except KEEP and UNCHANGED; capabilities stay."""
    _, permitted, _ = thread_calls.capget()
    if identity.groups != UNCHANGED:
        thread_calls.setgroups(identity.groups)
    own_process.keep_capabilities()
    euid, egid = identity.effective
    thread_calls.setresgid(egid, egid, egid)
    thread_calls.setresuid(euid, euid, euid)
    thread_calls.capset(permitted, permitted)
    if (euid, egid) != (identity.uid, identity.gid):
        thread_calls.setfsgid(identity.gid)
        thread_calls.setfsuid(identity.uid)
