"""Acting as a requester: the only place where this process changes its identity."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from procmirror.identity import linux
from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import CAP_SYS_ADMIN, CAP_SYS_PTRACE, UNCHANGED, Identity
from procmirror.identity.namespaces import NAMESPACES

# Effective user ids that belong to nobody: the last of all, and the last of a container's 65,536.
_NOBODYS = (0xFFFFFFFE, 65533)


class _Scope:
    """The time between taking on an identity and giving it back."""

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
    """The identity of this process, and those that it takes on for the length of one operation.

    `rest` is the identity between operations, `permitted` its permitted capabilities as a mask.
    `privileged` says whether the process may act as others.
    """

    def __init__(self) -> None:
        _, self.permitted, _ = linux.capget()
        self.rest = Identity(
            os.geteuid(), os.getegid(), tuple(sorted(os.getgroups())), self.permitted
        )
        self.privileged = self.rest.uid == 0 and bool(self.permitted & CAP_SYS_ADMIN)
        self._nobodys = _euid_of_nobody() if self.privileged else None

    def acting_as(
        self, identity: Identity, self_capabilities: int = 0, *, whole: bool = False
    ) -> AbstractContextManager[None]:
        """A scope whose block is carried out as `identity` with some capabilities added.

        `self_capabilities` is a mask of what stands for a task's right to look at itself. Real and
        saved ids stay, so that nobody may signal this process meanwhile. The effective user id is
        nobody's, as whoever has that of a process may change its scheduling for good: procfs asks
        for the id for file systems, and of the effective one only whether it is root's. With
        `whole` it is the requester's, for files that remember the opener's (uid_map). The process
        ends at once if it cannot become itself again.
        """
        capabilities = (identity.capabilities | self_capabilities) & self.permitted
        if not self.privileged or (capabilities == self.permitted and identity == self.rest):
            return _AT_REST
        return _Scope(self, identity, capabilities, whole=whole)

    @contextmanager
    def without(self, capabilities: int) -> Iterator[None]:
        """A part of a scope in which this thread lacks some capabilities (a mask)."""
        effective, permitted, _ = linux.capget()
        if not self.privileged or not effective & capabilities:
            yield
            return
        linux.capset(effective & ~capabilities, permitted)
        try:
            yield
        finally:
            linux.capset(effective, permitted)

    def equals(self, identity: Identity) -> bool:
        """Whether an identity has all rights of this process, tracing among them."""
        return self.privileged and bool(self.permitted & CAP_SYS_PTRACE) and identity == self.rest

    def assume(self, identity: Identity, capabilities: int, *, whole: bool = False) -> None:
        """Take on an identity with these capabilities; Unanswered(EACCES) if the kernel refuses."""
        try:
            if identity.groups != self.rest.groups:
                linux.setgroups(identity.groups)
            euid, egid = identity.effective
            if euid and self._nobodys and not whole:
                euid = self._nobodys
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
        """Give an identity back; the process ends if the kernel refuses."""
        try:
            linux.setresuid(linux.KEEP, self.rest.uid, linux.KEEP)
            linux.capset(self.permitted, self.permitted)
            linux.setresgid(linux.KEEP, self.rest.gid, linux.KEEP)
            if identity.groups != self.rest.groups:
                linux.setgroups(self.rest.groups)
        except OSError:
            os.abort()

    def become(self, identity: Identity, namespaces: dict[str, int]) -> None:
        """Move this single-threaded process into namespaces for good (descriptors by kind).

        With a user namespace among them the process also takes on the identity with its
        capabilities, and acts as nobody else from then on: the kernel answers it as it would answer
        the requester. Without one it stays what it is and acts as others for each operation.

        A process of an ordinary user has rights in user namespaces of that user only, so it enters
        the user namespace first; `identity` is then told in the numbers of that namespace
        (Requesters.worker_identity).
        """
        user = "user" in namespaces
        user_first = user and not self.privileged
        kinds = [kind for kind in NAMESPACES if kind in namespaces]
        for kind in ["user", *kinds] if user_first else kinds:
            linux.setns(namespaces[kind], kind)
        if user:
            take_on(identity)
            if not user_first:
                linux.setns(namespaces["user"], "user")
            linux.capset(identity.capabilities, identity.capabilities)
            self.privileged = False
        linux.forbid_dumps()
        linux.die_with_parent()


def _euid_of_nobody() -> int | None:
    """An effective user id of which this user namespace has a number; None if there is none.

    Tried by the id for file systems, which setfsuid(2) leaves alone where there is no number.
    """
    for uid in _NOBODYS:
        try:
            linux.setfsuid(uid)
        except OSError:
            continue
        linux.setfsuid(os.geteuid())
        return uid
    return None


def take_on(identity: Identity) -> None:
    """Take on all ids of an identity for good, but KEEP and UNCHANGED; capabilities stay."""
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
