"""Running operations where they belong: the same object in the daemon or in a worker."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from procmirror.fuse.execution import DaemonContext, Execution
from procmirror.fuse.nodes import Node
from procmirror.fuse.placement import Placements
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Unlabelled
from procmirror.identity.identity import Identity
from procmirror.identity.namespaces import from_namespace
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror.traits import Directory
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.calls import Workers
from procmirror.workers.entry_operations import GetAttributes, ReadLink
from procmirror.workers.operation import Operation
from procmirror.workers.placement import Placement

T = TypeVar("T")


class Dispatch(Placements):
    """Runs each operation where the rules of `Placements` say."""

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        workers: Workers,
        roots: ProcRoots,
    ) -> None:
        super().__init__(source, credentials, requesters, roots)
        self._workers = workers
        self._context = DaemonContext(roots)
        self.number = source.number(os.getpid(), roots.own)

    async def run(self, operation: Operation[T], at: Sequence[int], execution: Execution) -> T:
        """Carry out an operation: the same object here or in a worker.

        `at` are the descriptors that it starts from. OSError as the kernel raises it, Unanswered,
        DecodeError.
        """
        if execution.here:
            with self._credentials.acting_as(execution.identity, execution.self_capabilities):
                return operation.run(at, self._context)
        try:
            return await self._called(operation, at, execution)
        except Unlabelled:
            if not execution.may_lack_label:
                raise
            free = execution.unlabelled()
        except PermissionError:
            if not self.self_access.is_only_traced(at, execution):
                raise
            free = execution.of_oneself()
        return await self._called(operation, at, free)

    async def _called(self, operation: Operation[T], at: Sequence[int], execution: Execution) -> T:
        request = execution.request(operation)
        result = await self._workers.call(request, list(at), execution.placement, execution.lock)
        return operation.received(result)

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

        `source` is the name that decides on which namespaces and locks the operation depends. With
        `waits` it runs in a worker even if others of its directory do not.
        """
        execution = self.execution(
            node.process,
            requester,
            node.place,
            source,
            kinds=node.place.depends_on(source),
            waits=waits,
            self_capabilities=self_capabilities,
        )
        return await self.run(operation, (self._proc.directory(node.process),), execution)

    async def of_number(
        self,
        number: bytes,
        requester: Requester,
        operation: Operation[T],
        *,
        may_lack_label: bool = False,
    ) -> T:
        """Carry out an operation in the root that is about a process, by its number there."""
        placement = self.placement_of(requester, ())
        # The kernel asks no question about the daemon itself.
        here = not (
            placement.apart
            or number == self.number
            or self.depends_on_euid(number, placement.identity)
        )
        execution = Execution(
            requester.identity,
            None,
            placement,
            here=here,
            may_lack_label=may_lack_label and bool(placement.label),
            number=number,
        )
        return await self.run(operation, (self._proc.root,), execution)

    async def may_trace(self, name: bytes, requester: Requester) -> bool:
        """Whether the kernel lets a requester trace a process, by its number in the procfs."""
        if self.self_access.is_own_number(name, requester):
            return True
        try:
            await self.of_number(name, requester, ReadLink(name + b"/root"))
        except OSError as refused:
            # A zombie has no root directory, of which the kernel tells who may trace it.
            return refused.errno == errno.ENOENT and self._proc.has(name)
        return True

    async def attributes_as(
        self, requester: Requester, parent: Node, traits: Directory, path: bytes, source: bytes
    ) -> Attributes:
        """The attributes of an entry, if the right to see them depends on the requester."""
        process = parent.process
        execution = self.execution(
            process,
            requester,
            traits,
            source,
            kinds=traits.depends,
            self_capabilities=self.self_access.capabilities(process, requester, traits, source),
        )
        directory = self._proc.directory(process)
        found = await self.run(GetAttributes(path), (directory,), execution)
        return self.translated([found], requester)[0]

    def translated(self, found: list[Attributes], requester: Requester) -> list[Attributes]:
        """Attributes from a worker in another user namespace, with the ids of the daemon's."""
        if not requester.foreign:
            return found
        users, groups = self._requesters.namespaces.id_maps_of(requester.tid)
        return [
            one._replace(uid=from_namespace(users, one.uid), gid=from_namespace(groups, one.gid))
            for one in found
        ]

    def acting_as(self, identity: Identity) -> AbstractContextManager[None]:
        """A scope in which the daemon looks up names in a directory that was opened here."""
        return self._credentials.acting_as(identity)

    def waiting(self, placement: Placement) -> AbstractContextManager[None]:
        """A scope in which a request waits for a content that is being made."""
        return self._workers.waiting(placement.account)

    async def pause(self, placement: Placement) -> None:
        """Let other requests be served for a moment."""
        with self._workers.waiting(placement.account):
            await self._workers.pause()
