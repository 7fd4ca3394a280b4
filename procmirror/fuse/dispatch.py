"""Running operations where they belong: the same object in the daemon or in a worker."""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TypeVar

import trio
from msgspec.structs import replace

from procmirror.decoding.proc_files import MountLine
from procmirror.fuse.execution import DaemonContext, Execution
from procmirror.fuse.nodes import Node
from procmirror.fuse.placement import Placements
from procmirror.fuse.ring_reads import RingReads
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Unanswered, Unlabelled
from procmirror.identity.files import READ, read_file
from procmirror.identity.identity import Identity
from procmirror.identity.namespaces import from_namespace
from procmirror.identity.requester import Requester, Requesters
from procmirror.identity.ring import NotSoon, Ring
from procmirror.mirror.traits import Directory
from procmirror.procfs import proc
from procmirror.procfs.link_targets import OwnMounts, mounts_along
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.calls import Workers
from procmirror.workers.entry_operations import GetAttributes, MountsAlong, ReadLink
from procmirror.workers.operation import Descriptors, Operation, kept_open
from procmirror.workers.placement import Placement

T = TypeVar("T")
# What hangs longer is held on purpose.
_CLOSED_WITHIN_SECONDS = 1.0


class Dispatch(Placements):
    """Runs each operation where the rules of `Placements` say."""

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        workers: Workers,
        roots: ProcRoots,
        ring: Ring | None = None,
    ) -> None:
        super().__init__(source, credentials, requesters, roots)
        self._workers = workers
        self._context = DaemonContext(roots)
        self._by_ring = RingReads.of(ring, credentials, self._context)
        # Without a ring a process is known by its inode number alone.
        source.start_of = self._by_ring.start_of if self._by_ring else lambda _: None
        if self._by_ring:
            self.kernel_threads.stat_of = self._by_ring.stat_of
            self.outermost_of = partial(self._by_ring.outermost_of, roots)
            workers.tell_owners(self.outermost_of)
        self.number = source.number(os.getpid(), roots.own)

    def know_mounts(self, mounts: OwnMounts) -> None:
        """Have the mounts of the daemon's own mount namespace, which it does not close last."""
        if self._by_ring:
            self._by_ring.is_held = lambda mount: mounts.all().has(mount)

    async def wait_for_closing(self, requester: Requester) -> None:
        """Wait until objects of a requester's mounts are closed; Unanswered(EBUSY) if they are not.

        On a busy machine the kernel's threads close them later than more are opened.
        """
        ring = self._by_ring
        if not ring or not ring.has_unclosed(account := self.account_of(requester)):
            return
        end = trio.current_time() + _CLOSED_WITHIN_SECONDS
        with self._workers.waiting(account):
            while ring.has_unclosed(account):
                if trio.current_time() > end:
                    raise Unanswered(errno.EBUSY, "what the account has had opened does not close")
                await self._workers.pause()

    def settle(self) -> None:
        """Close what the ring has opened too late, once in a while."""
        if self._by_ring:
            self._by_ring.settle()

    def close_object(self, descriptor: int, requester: Requester) -> None:
        """Close an object of a requester's mounts: by the ring, if there is one."""
        if self._by_ring:
            self._by_ring.close_object(descriptor, self.account_of(requester))
        else:
            os.close(descriptor)

    async def run(
        self, operation: Operation[T], descriptors: Descriptors, execution: Execution
    ) -> T:
        """Carry out an operation: the same object here or in a worker.

        It starts from `descriptors()`. OSError as the kernel raises it, Unanswered, DecodeError.
        """
        if execution.here or execution.now:
            # As the daemon: the requester may not be let through to the process.
            start = descriptors()
            with self._credentials.acting_as(execution.identity, execution.self_capabilities):
                return operation.run(start, self._context)
        lock, account = execution.lock, execution.placement.account
        ring = self._by_ring
        if ring and execution.by_ring and not self._workers.is_waited_for(lock, account):
            with suppress(NotSoon):
                return ring.run(operation, descriptors(), execution)
        try:
            return await self._sent(operation, descriptors, execution)
        except Unlabelled:
            if not execution.may_lack_label:
                raise
            free = execution.unlabelled()
        except PermissionError:
            if not self.self_access.is_only_traced(descriptors(), execution):
                raise
            free = execution.of_oneself()
        return await self._sent(operation, descriptors, free)

    async def _sent(
        self, operation: Operation[T], descriptors: Descriptors, execution: Execution
    ) -> T:
        request = execution.request(operation)
        result = await self._workers.call(request, descriptors, execution.placement, execution.lock)
        return operation.received(result)

    async def perform(
        self,
        node: Node,
        requester: Requester,
        operation: Operation[T],
        *,
        source: bytes,
        of_oneself: bool = False,
        waits: bool = False,
        by_ring: bool = True,
    ) -> T:
        """Carry out one operation on an entry as the requester, here or in a worker.

        `source` is the name that decides on which namespaces and locks the operation depends. With
        `of_oneself` a process has the right to look at itself. With `waits` the operation runs in a
        worker even if others of its directory do not, or `by_ring` if that can carry it out.
        """
        process, place = node.process, node.place
        self._proc.directory(process)  # finds out whether it is the daemon's own
        descriptors, kinds = partial(self._proc.descriptors, process), place.depends_on(source)
        if process and not (kinds or waits) and self.runs_at_rest(requester, place):
            return operation.run(descriptors(), self._context)
        added = (
            self.self_access.capabilities(process, requester, place, source) if of_oneself else 0
        )
        execution = self.execution(
            process, requester, place, source, kinds=kinds, waits=waits, self_capabilities=added
        )
        if not by_ring:
            execution = replace(execution, by_ring=False)
        return await self.run(operation, descriptors, execution)

    async def of_number(
        self,
        number: bytes,
        requester: Requester,
        operation: Operation[T],
        *,
        may_lack_label: bool = False,
        waits: bool = False,
    ) -> T:
        """Carry out an operation in the root that is about a process, by its number there.

        With `waits` a worker does.
        """
        placement = self.placement_of(requester, ())
        # The kernel asks no question about the daemon itself.
        here = not (
            waits
            or placement.apart
            or self._is_daemon(number)
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
        return await self.run(operation, kept_open(self._proc.root), execution)

    def _is_daemon(self, number: bytes) -> bool:
        """Whether a number is that of the daemon or of a thread of it, as its ring has some."""
        own = self.number
        return own is not None and (number == own or self._proc.has(b"%s/task/%s" % (own, number)))

    async def may_trace(self, name: bytes, requester: Requester) -> bool:
        """Whether the kernel lets a requester trace a process, by its number in the procfs."""
        if self.self_access.is_own_number(name, requester):
            return True
        try:
            # The kernel may wait for the exec lock of the process.
            await self.of_number(name, requester, ReadLink(name + b"/root"), waits=True)
        except OSError as refused:
            # A zombie has no root directory, of which the kernel tells who may trace it.
            return refused.errno == errno.ENOENT and self._proc.has(name)
        return True

    async def at_rest(self, node: Node, requester: Requester, operation: Operation[T]) -> T:
        """Carry out an operation about a process by a worker with the daemon's rights.

        It is charged to the account of the requester.
        """
        identity = self._credentials.rest
        placement = Placement(requester.tid, identity, self.account_of(requester), {})
        lock = self.lock(node.process, node.place, node.source)
        execution = Execution(identity, node.process, placement, lock)
        return await self.run(operation, partial(self._proc.descriptors, node.process), execution)

    async def mounts_along(self, requester: Requester, path: bytes) -> list[MountLine]:
        """The mounts through which an absolute path leads a requester, in its mount namespace.

        In a user namespace of its own a requester may have stacked 100,000 of them, for which one
        read(2) takes the kernel seconds: then a worker reads them, for the requester's account.
        OSError as the kernel raises it, also EFBIG where they are too many to be looked at.
        """
        name, proc = b"%d/mountinfo" % requester.tid, self._requesters.namespaces.proc
        if not requester.foreign:
            return mounts_along(read_file(proc, name), path)
        # What the open file tells depends on no rights of its reader.
        identity = self._credentials.rest
        if self._credentials.privileged:
            identity = requester.identity._replace(groups=(), capabilities=0)
        placement = Placement(requester.tid, identity, self.account_of(requester), {})
        mountinfo = os.open(name, READ, dir_fd=proc)
        try:
            execution = Execution(identity, None, placement)
            return await self.run(MountsAlong(path), kept_open(mountinfo), execution)
        finally:
            os.close(mountinfo)

    async def attributes_as(
        self, requester: Requester, parent: Node, traits: Directory, path: bytes, source: bytes
    ) -> Attributes:
        """The attributes of an entry, if the right to see them depends on the requester."""
        process, kinds = parent.process, traits.depends
        directory = self._proc.directory(process)
        if process and not kinds and self.runs_at_rest(requester, traits):
            return proc.attributes(directory, path)
        execution = self.execution(
            process,
            requester,
            traits,
            source,
            kinds=kinds,
            self_capabilities=self.self_access.capabilities(process, requester, traits, source),
        )
        if execution.placement.apart:
            parent.asked_apart = True
        descriptors = partial(self._proc.descriptors, process)
        found = await self.run(GetAttributes(path), descriptors, execution)
        (shown,) = self.translated([found], requester)
        apart = process is None and execution.placement.apart
        return self.owned_as_here(path, shown) if apart else shown

    def owned_as_here(self, path: bytes, shown: Attributes) -> Attributes:
        """The attributes of what is no process's, with the owner that the daemon sees.

        Below `sys` the owner depends on the namespaces of who asks, and FUSE has one file for all:
        its owner may have a lease on it, for which root would wait. Root where the daemon sees
        none.
        """
        try:
            _, _, _, uid, gid, *_ = proc.attributes(self._proc.root, path)
        except OSError:
            uid = gid = 0
        return shown._replace(uid=uid, gid=gid)

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
