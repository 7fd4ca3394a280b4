"""Who asks, and where what he asks for is done.

Here, in a worker, or in one that has joined his namespaces.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from procmirror.fuse.nodes import Node
from procmirror.fuse.quota import account_of
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Unanswered
from procmirror.identity.namespaces import NAMESPACES, from_namespace
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror import tree
from procmirror.mirror.tree import Directory
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes, Proc, Process
from procmirror.workers.pool import Result, Where, Workers
from procmirror.workers.process import Home, Work

T = TypeVar("T")

# What the kernel says of itself to whom it trusts, and asks for no more than a capability or root's
# uid.
_KERNELS_OWN = frozenset({b"kmsg", b"kcore"})


class Dispatch:
    """Decides for each operation.

    Every rule about identities and places of work of the FUSE side stands here.
    """

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        workers: Workers,
        home: Home,
    ) -> None:
        self._proc = source
        self._credentials = credentials
        self._requesters = requesters
        self._workers = workers
        self._home = home

    def is_own(self, process: Process | None, requester: Requester) -> bool:
        """Whether a process is the requester's own, about which the kernel asks no question."""
        if process is None:
            return False
        number = self._proc.number(requester.tgid, self._home.own)
        return number is not None and (
            process.name == number or self._proc.leader(process) == number
        )

    def bonus(
        self, process: Process | None, requester: Requester, place: Directory, name: bytes
    ) -> int:
        """The capabilities that an operation on one's own entry adds."""
        return tree.bonus(place, name) if self.is_own(process, requester) else 0

    def differing_of(self, requester: Requester, kinds: Sequence[str]) -> dict[str, str]:
        """The namespaces in which an operation has to be done instead of here.

        EACCES where that cannot be.
        """
        differing = self._requesters.namespaces.differing_of(requester.tid, kinds) if kinds else {}
        if "pid" in differing:
            raise PermissionError(errno.EACCES, "it depends on the requester's pid namespace")
        if requester.foreign:
            differing = self._requesters.namespaces.differing_of(requester.tid)
            differing["user"] = requester.user_namespace
        return differing

    def lock(self, process: Process | None, place: Directory, name: bytes) -> Hashable:
        """What an operation on an entry may have to wait for; None for what is no process's."""
        return None if process is None else (process, place.waits_for(name))

    def account_of(self, requester: Requester) -> int:
        """The account that a requester's use is charged to."""
        return account_of(requester, self._credentials.permitted, self._requesters.proc)

    def where(self, requester: Requester, kinds: Sequence[str]) -> Where:
        """Where an operation is done that depends on these of the requester's namespaces."""
        payer = self.account_of(requester)
        return Where(
            requester.tid,
            self._requesters.worker_identity(requester),
            payer,
            self.differing_of(requester, kinds),
        )

    def where_of_content(self, node: Node, requester: Requester) -> Where:
        """Where an entry is read or a view made, from OPEN to RELEASE."""
        joined = node.sibling is not None and node.sibling.view.join is not None
        where = self.where(requester, NAMESPACES if joined else node.place.depends_on(node.source))
        where.hold(self._home.own)
        return where

    def lock_of_content(self, node: Node, payer: int) -> Hashable:
        """What reading an entry or making a view may wait for.

        Joined views of the whole machine take turns in an account.
        """
        joined = node.sibling is not None and node.sibling.view.join is not None
        if node.process is None:
            return ("joined", payer) if joined else None
        if joined and node.sibling:
            return (node.process, node.sibling.view.name)
        return self.lock(node.process, node.place, node.source)

    async def perform(
        self,
        node: Node,
        source: bytes,
        requester: Requester,
        work: Work,
        here: Callable[[int], T],
    ) -> T | Result:
        """Do one operation on an entry as the requester.

        `here` at once if it cannot wait, else `work` in a worker.
        """
        place, process = node.place, node.process
        directory = self._proc.directory(process)
        where = self.where(requester, place.depends_on(source))
        own = process is not None and process.own
        if not (place.blocks or where.differing or own):
            with self._credentials.acting_as(work.identity, work.bonus):
                return here(directory)
        return await self._workers.call(work, [directory], where, self.lock(process, place, source))

    async def attributes_as(
        self, requester: Requester, parent: Node, traits: Directory, path: bytes, source: bytes
    ) -> Attributes:
        """The attributes of an entry, where the right to see them depends on who looks."""
        process = parent.process
        if process is not None and self._requesters.confinement.exists:
            self.refuse_confined(requester)
        directory = self._proc.directory(process)
        bonus = self.bonus(process, requester, traits, source)
        where = self.where(requester, traits.depends)
        if not (traits.blocks or where.differing or (process is not None and process.own)):
            with self._credentials.acting_as(requester.identity, bonus):
                return proc.attributes(directory, path)
        work = Work("attributes", requester.identity, bonus, name_of(process), path)
        result = await self._workers.call(
            work, [directory], where, self.lock(process, traits, source)
        )
        return self.translated([Attributes(*result.value)], requester)[0]

    def translated(self, found: list[Attributes], requester: Requester) -> list[Attributes]:
        """What a helper in the requester's user namespace saw, with the ids that FUSE expects.

        Ours.
        """
        if not requester.foreign:
            return found
        users, groups = self._requesters.namespaces.id_maps_of(requester.tid)
        return [
            one._replace(uid=from_namespace(users, one.uid), gid=from_namespace(groups, one.gid))
            for one in found
        ]

    def refuse_confined(self, requester: Requester) -> None:
        """Refuse one whom a security module confines otherwise than the daemon.

        It cannot be asked in his name.
        """
        if self._requesters.confinement.differs(requester.tid):
            raise Unanswered(errno.EACCES, "the requester is confined by a security module")

    def refuse_confined_for(self, node: Node, requester: Requester) -> None:
        """The same for what tells of processes, and for what not everybody may read, where any security module is at work."""
        if not self._requesters.confinement.exists:
            return
        joined = node.sibling is not None and node.sibling.view.join is not None
        entry = node.process is None and not joined and not (node.traits and node.traits.is_index)
        if entry and proc.attributes(self._proc.root, node.path).mode & stat.S_IROTH:
            return
        self.refuse_confined(requester)

    def is_apart(self, requester: Requester) -> bool:
        """Whether a requester is in another mount, pid or user namespace than the daemon, or confined by a security module.

        What a container may not write or read is often said by what is mounted in it, which says
        nothing about us.
        """
        return (
            requester.foreign
            or bool(self._requesters.namespaces.differing_of(requester.tid, ("mnt", "pid")))
            or self._requesters.confinement.differs(requester.tid)
        )

    def refuse_apart(self, node: Node, requester: Requester) -> None:
        """Refuse him the kernel's log and memory."""
        if node.process is None and node.path in _KERNELS_OWN and self.is_apart(requester):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def native_path(self, node: Node, text: bytes, requester: Requester) -> bytes:
        """What a link reads that leads to the very object.

        The same link on /proc, for who has that /proc; else its text.

        Only a text that is a path is one of those: `pipe:[1]` and `net:[2]` are read for their
        numbers.
        """
        if (
            node.process is None
            or not text.startswith(b"/")
            or self._requesters.namespaces.differing_of(requester.tid, ("pid",))
        ):
            return text
        return b"/proc/%s/%s" % (node.process.name, node.path)

    def is_inline(self, node: Node, where: Where) -> bool:
        """Whether a content is read where the request arrives.

        What is of this very process only for who may hear all of it.
        """
        ours = (
            node.process is not None
            and node.process.own
            and not self._credentials.equals(where.identity)
        )
        return node.place.is_prompt(node.source) and not where.differing and not ours

    def waiting(self, where: Where) -> AbstractContextManager[None]:
        """The time in which somebody's request waits for what is being made."""
        return self._workers.waiting(where.payer)

    async def pause(self, where: Where) -> None:
        """Let others be served for a moment."""
        with self._workers.waiting(where.payer):
            await self._workers.pause()

    async def call(self, node: Node, where: Where, work: Work, descriptors: list[int]) -> Result:
        """Have a content read or written, or a view made, by a worker."""
        lock = self.lock_of_content(node, where.payer)
        if work.verb == "write" and node.process is not None:
            lock = (node.process, node.place.waits_for(node.name, written=True))
        return await self._workers.call(work, descriptors, where, lock)


def name_of(process: Process | None) -> bytes:
    """The number of a process in SOURCE, empty for what is no process's."""
    return process.name if process else b""
