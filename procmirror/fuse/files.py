"""Opening and closing files: what a file costs, where it is read, and which kind it becomes."""

from __future__ import annotations

import os
from functools import partial

from procmirror.decoding.render import content_of
from procmirror.fuse.nodes import Node
from procmirror.fuse.open_files import (
    Charge,
    Opener,
    OpenFile,
    RawFileHere,
    Snapshot,
    ViewFile,
    opened_by_worker,
    snapshot_of,
)
from procmirror.fuse.placement import Dispatch, request_of
from procmirror.fuse.quota import Quota
from procmirror.identity.credentials import Credentials
from procmirror.identity.requester import Requester, Requesters
from procmirror.procfs import proc, reading
from procmirror.procfs.proc import Proc
from procmirror.workers.operations import MakeView, Open, Viewer
from procmirror.workers.placement import Placement
from procmirror.workers.process import ProcRoots
from procmirror.workers.spool import INLINE_BYTES, Spool, spool_or_bytes

# The bytes of a raw file that are read with its OPEN.
READAHEAD_BYTES = 1 << 16
# How often an OPEN waits for RELEASEs of the same account, if the account holds too much.
_TRIES = 50


class Files:
    """Opens and closes files."""

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        roots: ProcRoots,
        quota: Quota,
        dispatch: Dispatch,
    ) -> None:
        self._proc = source
        self._credentials = credentials
        self._requesters = requesters
        self._roots = roots
        self._quota = quota
        self._dispatch = dispatch

    async def open(self, node: Node, requester: Requester, flags: int = os.O_RDONLY) -> OpenFile:
        """A raw file opened as the requester, or a view made as the requester.

        `flags` are the access mode and O_TRUNC; `writing` has decided before whether the requester
        may open for more than reading. Raises the kernel's OSError, Unanswered, and DecodeError.
        """
        self._dispatch.refuse_confined_for(node, requester)
        self._dispatch.refuse_apart(node, requester)
        placement = self._dispatch.placement_of_content(node, requester)
        try:
            opener = self._opener(node, requester, placement, flags)
            charge = await self._charged(placement)
        except BaseException:
            placement.release()
            raise
        try:
            return await self._opened(opener, charge, requester)
        except BaseException:
            charge.refund()
            placement.release()
            raise

    def _opener(self, node: Node, requester: Requester, placement: Placement, flags: int) -> Opener:
        pid = self._proc.number(requester.tgid, self._roots.own)
        namespaces = (
            self._requesters.namespaces.all_of(requester.tid) if node.is_joined_view else {}
        )
        viewer = Viewer(pid, named=not requester.foreign)
        return Opener(node, requester.identity, placement, viewer, namespaces, flags)

    async def _charged(self, placement: Placement) -> Charge:
        """Charge the descriptors of one open file; OSError(ENFILE) beyond the account's limit.

        An account that holds too much may have closed some already: the kernel sends RELEASEs a
        dozen at a time, behind other requests. So this waits as long as refunds come.
        """
        account, descriptors = placement.account, 1 + len(placement.opened)
        quota = self._quota
        if not quota.charged(account, descriptors):
            for _ in range(_TRIES):
                before = quota.returned(account)
                if before < 0:
                    break
                await self._dispatch.pause(placement)
                if quota.returned(account) == before:
                    quota.in_vain(account)
                elif quota.charged(account, descriptors):
                    return Charge(quota, account, descriptors)
            quota.charge(account, descriptors, 0)
        return Charge(quota, account, descriptors)

    async def _opened(self, opener: Opener, charge: Charge, requester: Requester) -> OpenFile:
        node = opener.node
        # Being oneself opens nothing for writing that one could not open anyway.
        self_capabilities = (
            0
            if opener.flags
            else self._dispatch.self_capabilities(node.process, requester, node.place, node.source)
        )
        here = not opener.flags and self._dispatch.runs_here(
            node.process, opener.placement, waits=not node.place.is_prompt(node.source), equal=True
        )
        if node.sibling is None:
            return await self._open_raw(opener, charge, self_capabilities, here=here)
        # Self-access capabilities end with OPEN: a content that is made again does without.
        file = ViewFile(opener, charge, partial(self._snapshot, opener, charge, 0, here=here))
        file.show(await self._snapshot(opener, charge, self_capabilities, here=here))
        return file

    async def _open_raw(
        self, opener: Opener, charge: Charge, self_capabilities: int, *, here: bool
    ) -> OpenFile:
        node = opener.node
        directory = self._proc.directory(node.process)
        if here:
            with self._credentials.acting_as(opener.identity, self_capabilities):
                descriptor = proc.open_file(directory, node.path)
            return RawFileHere(opener, charge, descriptor, self._credentials)
        ahead = not (self_capabilities or opener.flags) and node.place.reads_ahead(node.name)
        operation = Open(node.path, opener.flags, READAHEAD_BYTES if ahead else 0)
        request = request_of(operation, opener.identity, node.process, self_capabilities)
        result = await self._dispatch.call(node, opener.placement, request, [directory])
        return opened_by_worker(opener, charge, result, self._dispatch)

    async def _snapshot(
        self, opener: Opener, charge: Charge, self_capabilities: int, *, here: bool
    ) -> Snapshot:
        """The content of a view, made here or by a worker."""
        node = opener.node
        assert node.sibling is not None
        directory = self._proc.directory(node.process)
        waiting = partial(self._dispatch.waiting, opener.placement)
        # What the file holds now will be given back for it.
        space = self._quota.space(opener.placement.account) + charge.size
        if node.sibling.view.decode and here:
            return snapshot_of(
                self._made_here(opener, directory, self_capabilities, space), waiting
            )
        base = node.path[: -len(node.source)].rstrip(b"/") if node.source else node.path
        view, suffix = node.sibling.view.name, node.sibling.suffix
        request = request_of(
            MakeView(base, view, suffix, opener.viewer, space),
            opener.identity,
            node.process,
            self_capabilities,
            opener.namespaces,
        )
        result = await self._dispatch.call(node, opener.placement, request, [directory])
        return snapshot_of(result, waiting)

    def _made_here(
        self, opener: Opener, directory: int, self_capabilities: int, space: int
    ) -> bytes | Spool:
        """The content of a view of one file whose read cannot wait."""
        node = opener.node
        assert node.sibling is not None
        view, suffix = node.sibling.view, node.sibling.suffix
        with self._credentials.acting_as(opener.identity, self_capabilities):
            raw = reading.content(directory, node.path, _no_progress)
        machine = self._roots.facts.machine({}, named=True)
        made = content_of(view, suffix, view.decoded(raw, machine), machine)
        return made if len(made) <= INLINE_BYTES else spool_or_bytes(iter((made,)), space)

    def close(self, file: OpenFile) -> None:
        """Close a file, and give everything back to its account."""
        file.close()
        file.charge.refund()
        file.opener.placement.release()


def _no_progress() -> None:
    """Report no progress: what is read here is short."""
