"""Where an operation runs: in the daemon, in a worker, or in one in the requester's namespaces."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

from procmirror.fuse.nodes import Node
from procmirror.fuse.quota import account_of
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import CAP_SYS_NICE, Identity
from procmirror.identity.namespaces import NAMESPACES, from_namespace
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror import places, tree
from procmirror.mirror.tree import Directory
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes, Proc, Process
from procmirror.workers.calls import Workers
from procmirror.workers.handle import Result, payload
from procmirror.workers.operations import AnyOperation, GetAttributes, Operation, Viewer, Write
from procmirror.workers.placement import Placement
from procmirror.workers.process import ProcRoots
from procmirror.workers.protocol import Request
from procmirror.workers.spool import Spool

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
        roots: ProcRoots,
    ) -> None:
        self._proc = source
        self._credentials = credentials
        self._requesters = requesters
        self._workers = workers
        self._roots = roots
        self._context = _DaemonContext(roots)

    def is_own(self, process: Process | None, requester: Requester) -> bool:
        """Whether a process is the requester's own, about which the kernel asks no question."""
        if process is None:
            return False
        number = self._proc.number(requester.tgid, self._roots.own)
        return number is not None and (
            process.name == number or self._proc.leader(process) == number
        )

    def self_capabilities(
        self, process: Process | None, requester: Requester, place: Directory, name: bytes
    ) -> int:
        """The capabilities that an operation on one's own entry adds.

        The kernel knows a process by any of its threads, but for `timerslack_ns`, where it compares
        the threads themselves (timerslack_ns_show, fs/proc/base.c).
        """
        if process is None or not self.is_own(process, requester):
            return 0
        itself = process.name == self._proc.number(requester.tid, self._roots.own)
        added = places.self_capabilities(place.pattern, name)
        return added if itself else added & ~CAP_SYS_NICE

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

    def placement_of(self, requester: Requester, kinds: Sequence[str]) -> Placement:
        """Where an operation is done that depends on these of the requester's namespaces."""
        return Placement(
            requester.tid,
            self._requesters.worker_identity(requester),
            self.account_of(requester),
            self.differing_of(requester, kinds),
        )

    def placement_of_content(self, node: Node, requester: Requester) -> Placement:
        """Where an entry is read or a view made, from OPEN to RELEASE."""
        kinds = NAMESPACES if node.is_joined_view else node.place.depends_on(node.source)
        placement = self.placement_of(requester, kinds)
        placement.hold(self._roots.own)
        return placement

    def lock_of_content(self, node: Node, account: int) -> Hashable:
        """What reading an entry or making a view may wait for.

        Joined views of the whole machine take turns in an account.
        """
        if node.process is None:
            return ("joined", account) if node.is_joined_view else None
        if node.is_joined_view and node.sibling:
            return (node.process, node.sibling.view.name)
        return self.lock(node.process, node.place, node.source)

    def runs_here(
        self, process: Process | None, placement: Placement, *, waits: bool, equal: bool = False
    ) -> bool:
        """Whether an operation runs in the daemon instead of in a worker.

        It does if it cannot wait for anybody (`waits`), depends on none of the requester's
        namespaces, and is not about the daemon itself, of which the kernel would tell the daemon
        everything. With `equal` the daemon may also answer about itself a requester who has all
        rights of the daemon.
        """
        if waits or placement.differing or self._depends_on_euid(process, placement.identity):
            return False
        about_daemon = process is not None and process.own
        return not about_daemon or (equal and self._credentials.equals(placement.identity))

    def _depends_on_euid(self, process: Process | None, identity: Identity) -> bool:
        """Whether the effective user id decides, which the daemon never takes on."""
        euid = identity.effective[0]
        return (
            process is not None
            and bool(euid)
            and self._credentials.privileged
            and self._roots.is_owned(process.name, euid)
        )

    async def perform(
        self,
        node: Node,
        requester: Requester,
        operation: Operation[T],
        *,
        source: bytes,
        self_capabilities: int = 0,
        waits: bool = False,
    ) -> T:
        """Carry out one operation on an entry as the requester, here or in a worker.

        `source` is the name that decides which namespaces and locks the operation depends on. With
        `waits` it goes to a worker even where others of its directory do not.
        """
        traits = node.place
        placement = self.placement_of(requester, traits.depends_on(source))
        return await self._run(
            node.process,
            operation,
            requester,
            self_capabilities,
            placement,
            self.lock(node.process, traits, source),
            waits=waits or traits.blocks,
        )

    async def _run(
        self,
        process: Process | None,
        operation: Operation[T],
        requester: Requester,
        self_capabilities: int,
        placement: Placement,
        lock: Hashable,
        *,
        waits: bool,
    ) -> T:
        directory = self._proc.directory(process)
        if self.runs_here(process, placement, waits=waits):
            with self._credentials.acting_as(requester.identity, self_capabilities):
                return operation.run((directory,), self._context)
        request = request_of(operation, requester.identity, process, self_capabilities)
        result = await self._workers.call(request, [directory], placement, lock)
        return operation.received(payload(result))

    async def attributes_as(
        self, requester: Requester, parent: Node, traits: Directory, path: bytes, source: bytes
    ) -> Attributes:
        """The attributes of an entry, where the right to see them depends on the requester."""
        process = parent.process
        if process is not None and self._requesters.confinement.exists:
            self.refuse_confined(requester)
        found = await self._run(
            process,
            GetAttributes(path),
            requester,
            self.self_capabilities(process, requester, traits, source),
            self.placement_of(requester, traits.depends),
            self.lock(process, traits, source),
            waits=traits.blocks,
        )
        return self.translated([found], requester)[0]

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
        """Refuse a confined requester what tells of processes, or what not everybody may read."""
        if not self._requesters.confinement.exists:
            return
        is_index = node.traits is not None and node.traits.is_index
        entry = node.process is None and not node.is_joined_view and not is_index
        if entry and proc.attributes(self._proc.root, node.path).mode & stat.S_IROTH:
            return
        self.refuse_confined(requester)

    def is_apart(self, requester: Requester) -> bool:
        """Whether a requester is in other mount, pid or user namespaces, or confined.

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

    def waiting(self, placement: Placement) -> AbstractContextManager[None]:
        """The time in which somebody's request waits for what is being made."""
        return self._workers.waiting(placement.account)

    async def pause(self, placement: Placement) -> None:
        """Let others be served for a moment."""
        with self._workers.waiting(placement.account):
            await self._workers.pause()

    async def call(
        self, node: Node, placement: Placement, request: Request, descriptors: list[int]
    ) -> Result:
        """Have a content read or written, or a view made, by a worker."""
        lock = self.lock_of_content(node, placement.account)
        if isinstance(request.operation, Write) and node.process is not None:
            lock = (node.process, node.place.waits_for(node.name, written=True))
        return await self._workers.call(request, descriptors, placement, lock)


class _DaemonContext:
    """The context of the operations that run in the daemon, where nothing is long or grows."""

    def __init__(self, roots: ProcRoots) -> None:
        self._roots = roots

    def progress(self) -> None:
        """Tell nobody: what runs here is short."""

    def grown(self, spool: Spool) -> None:
        """Tell nobody: what runs here is whole at once."""

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> tree.Snapshot:
        """What a view is made from that joins nothing."""
        machine = self._roots.facts.machine({}, named=viewer.named)
        return tree.Snapshot(
            view, suffix, machine, viewer.pid, None, self._roots.root, self._roots.own
        )


def request_of(
    operation: Operation[Any],
    identity: Identity,
    process: Process | None,
    self_capabilities: int = 0,
    namespaces: dict[str, str] | None = None,
) -> Request:
    """The envelope in which an operation about a process is sent to a worker."""
    target = process.name if process else b""
    return Request(
        cast("AnyOperation", operation), identity, self_capabilities, target, namespaces or {}
    )
