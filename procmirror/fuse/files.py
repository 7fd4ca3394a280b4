"""Opening and closing files: the charge for a file, how it is read, and its kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from procmirror.fuse import kernel_threads
from procmirror.fuse.account_names import AccountNames
from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.fuse.fdinfo_in_order import FdinfoInOrder
from procmirror.fuse.nodes import Node
from procmirror.fuse.open_files import Opener, OpenFile, RawFile, ViewFile
from procmirror.fuse.private_proc import PrivateProc
from procmirror.fuse.quota import Charge, Quota
from procmirror.fuse.snapshots import Snapshot, snapshot_of
from procmirror.identity.requester import Requester
from procmirror.mirror.places import END_MEMORY
from procmirror.procfs.processes import Proc
from procmirror.workers.content import Content
from procmirror.workers.file_operations import Open, ReadWhole
from procmirror.workers.opened import Opened
from procmirror.workers.operation import Operation, Viewer
from procmirror.workers.placement import Placement
from procmirror.workers.view_operations import DecodeFile, MakeView

# The number of bytes of a raw file that are read with its OPEN.
READAHEAD_BYTES = 1 << 16
# An open file of these holds the mount namespace of the process (proc_mounts, fs/proc_namespace.c).
# Who closes it last takes all its mounts down, and waits for the servers of some for ever
# (fuse_wait_aborted, fs/fuse/dev.c).
_HOLDS_MOUNTS = frozenset((b"mounts", b"mountinfo", b"mountstats"))
# The number of times that an OPEN waits for RELEASEs of the same account, if the account holds too
# much.
_TRIES = 50
# The bytes of a raw file are the same for everybody who may open it.
_NOBODY = Viewer(None, named=False)


class Files:
    """Opens and closes files; `own` is a descriptor of the procfs in which FUSE names threads.

    `asks()` is whether a look at a file may have to wait for its server.
    """

    def __init__(
        self,
        source: Proc,
        own: int,
        quota: Quota,
        dispatch: Dispatch,
        private: PrivateProc,
        names: AccountNames,
        asks: Callable[[], bool],
    ) -> None:
        self._proc = source
        self._own = own
        self._quota = quota
        self._dispatch = dispatch
        self._private = private
        self._names = names
        self._in_order = FdinfoInOrder(source, dispatch, asks)

    async def open(self, node: Node, requester: Requester, flags: int = os.O_RDONLY) -> OpenFile:
        """Open a raw file, or make a view, as the requester.

        `flags` are the access mode and O_TRUNC; `writing` has decided before whether the requester
        may open for more than reading. Raises the kernel's OSError, Unanswered, and DecodeError.
        """
        self._dispatch.refusals.refuse_apart(node, requester)
        placement = self._dispatch.placement_of_content(node, requester)
        try:
            opener = await self._opener(node, requester, placement, flags)
            charge = self._charged_at_once(placement) or await self._charged(placement)
        except BaseException:
            placement.release()
            raise
        try:
            return await self._opened(opener, charge, requester)
        except BaseException:
            charge.refund()
            placement.release()
            raise

    async def _opener(
        self, node: Node, requester: Requester, placement: Placement, flags: int
    ) -> Opener:
        execution = self._dispatch.execution_of_content(
            node, requester, placement, written=bool(flags)
        )
        viewer = await self._viewer(requester) if node.sibling else _NOBODY
        return Opener(node, execution, viewer, flags)

    async def _viewer(self, requester: Requester) -> Viewer:
        """The requester as a view shows it."""
        return Viewer(
            self._proc.number(requester.tgid, self._own),
            named=self._names.are_of(requester),
            alone=bool((await self._private.hiding_of(requester)).processes),
        )

    def _charged_at_once(self, placement: Placement) -> Charge | None:
        """Charge the descriptors of one open file, or None if the account holds too much."""
        account, descriptors = placement.account, 1 + len(placement.opened)
        if self._quota.charged(account, descriptors):
            return Charge(self._quota, account, descriptors)
        return None

    async def _charged(self, placement: Placement) -> Charge:
        """Wait until the account may open one more; OSError(ENFILE) if it still holds too much.

        An account that holds too much may have closed some already: the kernel sends RELEASEs a
        dozen at a time, behind other requests. So this waits as long as refunds come.
        """
        account, descriptors = placement.account, 1 + len(placement.opened)
        quota = self._quota
        for _ in range(_TRIES):
            before = quota.returned(account)
            if before < 0:
                break
            await self._dispatch.pause(placement)
            if quota.returned(account) == before:
                quota.in_vain(account)
            elif (charge := self._charged_at_once(placement)) is not None:
                return charge
        quota.charge(account, descriptors, 0)
        return Charge(quota, account, descriptors)

    async def _opened(self, opener: Opener, charge: Charge, requester: Requester) -> OpenFile:
        node, execution = opener.node, opener.execution
        # Self-access gives no right to open for writing.
        # A view of all processes gets none: they would stand for rights over the others.
        if not (opener.flags or node.is_view_of_all) and (
            added := self._dispatch.self_access.capabilities(
                node.process, requester, node.place, node.source
            )
        ):
            execution = execution.with_self_capabilities(added)
        if self._dispatch.may_read_now(node, execution):
            execution = replace(execution, now=True)
        if node.sibling is None and not _is_closed_at_once(opener):
            return await self._open_raw(opener, charge, execution, requester)
        # Self-access capabilities end with OPEN: a content that is made again is made without them.
        file = ViewFile(opener, charge, partial(self._snapshot, opener, charge, opener.execution))
        file.show(await self._snapshot(opener, charge, execution))
        return file

    async def _open_raw(
        self, opener: Opener, charge: Charge, execution: Execution, requester: Requester
    ) -> RawFile:
        node = opener.node
        # What a process may see of itself, others may not who are given the open file.
        is_for_opener = execution.self_capabilities and node.name not in END_MEMORY
        ahead = not (execution.here or is_for_opener or opener.flags) and node.place.reads_ahead(
            node.name
        )
        known = await self._in_order.content(node, requester, execution) if ahead else None
        if known is not None:
            execution = replace(execution, here=True)
        size = READAHEAD_BYTES if ahead and known is None else 0
        operation = Open(node.path, opener.flags, size)
        descriptors = partial(self._proc.descriptors, node.process)
        opened = await self._dispatch.run(operation, descriptors, execution)
        if known is not None:
            opened = Opened(opened.number, (known, True, 0))
        elif node.process and node.process.is_kernel is None and node.place.pattern == "PID":
            node.process.is_kernel = kernel_threads.told(node.name, opened, execution)
        return RawFile(opener, charge, opened, self._dispatch)

    async def _snapshot(self, opener: Opener, charge: Charge, execution: Execution) -> Snapshot:
        """The content of a view, made here or by a worker."""
        descriptors = partial(self._proc.descriptors, opener.node.process)
        # The present content of the file will be refunded.
        space = self._quota.space(execution.placement.account) + charge.size
        content = await self._dispatch.run(making(opener, space), descriptors, execution)
        return snapshot_of(content, partial(self._dispatch.waiting, execution.placement))

    def close(self, file: OpenFile) -> None:
        """Close a file, and refund its account."""
        file.close()
        file.charge.refund()
        file.opener.execution.placement.release()


def _is_closed_at_once(opener: Opener) -> bool:
    """Whether a raw file is read to its end at OPEN, as the daemon must not close it."""
    node = opener.node
    is_held = node.place.pattern == "PID" and node.source in _HOLDS_MOUNTS
    return is_held and not opener.flags


def making(opener: Opener, space: int) -> Operation[Content]:
    """The operation that makes the content of an open view, of at most `space` bytes.

    Also that of a raw file which the daemon does not hold open.
    """
    node = opener.node
    if node.sibling is None:
        return ReadWhole(node.path, space)
    view, suffix, source = node.sibling.view, node.sibling.suffix, node.source
    if view.decode:
        return DecodeFile(node.path, view.name, suffix, opener.viewer, space)
    base = node.path[: -len(source)].rstrip(b"/") if source else node.path
    return MakeView(base, view.name, suffix, opener.viewer, space)
