"""What the kernel holds open of the mirror's files.

Descriptors opened as the requester, and snapshots of views made as him.

All that is known of the opener is found out at OPEN; a READ names nobody.
"""

from __future__ import annotations

import errno
import os
import time
from functools import partial

from procmirror.decode.render import content_of
from procmirror.fuse.nodes import Node
from procmirror.fuse.placement import Dispatch, request_of
from procmirror.fuse.quota import Budgets
from procmirror.identity.credentials import Credentials
from procmirror.identity.requester import Requester, Requesters
from procmirror.procfs import proc, reading
from procmirror.procfs.proc import Proc
from procmirror.workers.handle import Result, payload
from procmirror.workers.operations import MakeView, Open, Read, Viewer
from procmirror.workers.placement import Placement
from procmirror.workers.process import ProcRoots
from procmirror.workers.spool import INLINE_BYTES, Spool, spool_or_bytes
from procmirror.workers.stream import Stream

_AHEAD = 1 << 16
# For how long bytes that were read at OPEN are as good as those that a READ would give.
_FRESH = 0.005
_REWIND = 1.0
# How often it is looked whether an account that holds too much has given something back.
_TRIES = 50


class Content:
    """An open file: the snapshot of a view, or a descriptor of /proc opened as the requester.

    All that is known of the opener was found out at OPEN: later his number may be another's.
    """

    __slots__ = (
        "ahead",
        "charged",
        "data",
        "descriptor",
        "flags",
        "identity",
        "inline",
        "namespaces",
        "node",
        "placement",
        "position",
        "renewed",
        "started",
        "stream",
        "taken",
        "viewer",
    )

    def __init__(
        self, node: Node, requester: Requester, placement: Placement, pid: bytes | None
    ) -> None:
        self.node = node
        self.identity = requester.identity
        self.viewer = Viewer(pid, named=not requester.foreign)
        self.placement = placement
        self.namespaces: dict[str, str] = {}
        self.data: bytes | None = None
        self.descriptor = -1
        self.stream: Stream | None = None
        self.flags = os.O_RDONLY
        self.position = 0
        self.inline = False
        self.started = False
        self.renewed = False
        self.taken = 0.0
        self.charged = 0
        self.ahead: tuple[bytes, bool] | None = None

    def close(self) -> None:
        """Give back all descriptors."""
        self.placement.release()
        self.drop()

    def drop(self) -> None:
        """Give back what was read, or is read from, and want no more of it."""
        if self.stream:
            self.stream.abandon()
            self.stream = None
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Contents:
    """Opens, reads and closes files."""

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        roots: ProcRoots,
        budgets: Budgets,
        dispatch: Dispatch,
    ) -> None:
        self._proc = source
        self._credentials = credentials
        self._requesters = requesters
        self._roots = roots
        self._budgets = budgets
        self._dispatch = dispatch

    async def open(self, node: Node, requester: Requester, flags: int = os.O_RDONLY) -> Content:
        """A raw file becomes a descriptor opened as the requester, a view a snapshot made as him.

        `flags` are the access mode and O_TRUNC; who may open for more than reading, and what,
        `writing` has decided before.
        """
        self._dispatch.refuse_confined_for(node, requester)
        self._dispatch.refuse_apart(node, requester)
        placement = self._dispatch.placement_of_content(node, requester)
        pid = self._proc.number(requester.tgid, self._roots.own)
        content = Content(node, requester, placement, pid)
        content.flags = flags
        descriptors = 1 + len(placement.opened)
        try:
            if not self._budgets.charged(placement.account, descriptors):
                await self._admitted(placement, descriptors)
        except BaseException:
            content.close()
            raise
        try:
            await self._opened(content, requester)
        except BaseException:
            self._budgets.refund(placement.account, descriptors, content.charged)
            content.close()
            raise
        return content

    async def _admitted(self, placement: Placement, descriptors: int) -> None:
        """Charge descriptors to an account.

        If it holds too many, some may be closed already: the kernel sends RELEASEs a dozen at a
        time, behind what others ask.
        """
        for _ in range(_TRIES):
            before = self._budgets.returned(placement.account)
            if before < 0:
                break
            await self._dispatch.pause(placement)
            if self._budgets.returned(placement.account) == before:
                self._budgets.in_vain(placement.account)
            elif self._budgets.charged(placement.account, descriptors):
                return
        self._budgets.charge(placement.account, descriptors, 0)

    async def _opened(self, content: Content, requester: Requester) -> None:
        node = content.node
        # To be oneself opens nothing for writing that one could not open anyway.
        self_capabilities = (
            0
            if content.flags
            else self._dispatch.self_capabilities(node.process, requester, node.place, node.source)
        )
        content.inline = not content.flags and self._dispatch.runs_here(
            node.process, content.placement, waits=not node.place.is_prompt(node.source), equal=True
        )
        if node.sibling is None:
            await self._open_raw(content, self_capabilities)
            return
        if node.is_joined_view:
            content.namespaces = self._requesters.namespaces.all_of(requester.tid)
        await self._snapshot(content, self_capabilities)

    async def _open_raw(self, content: Content, self_capabilities: int) -> None:
        node = content.node
        directory = self._proc.directory(node.process)
        if content.inline:
            with self._credentials.acting_as(content.identity, self_capabilities):
                content.descriptor = proc.open_file(directory, node.path)
            return
        ahead = (
            0
            if self_capabilities or content.flags or not node.place.reads_ahead(node.name)
            else _AHEAD
        )
        operation = Open(node.path, content.flags, ahead)
        request = request_of(operation, content.identity, node.process, self_capabilities)
        result = await self._dispatch.call(node, content.placement, request, [directory])
        if result.descriptor < 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        content.descriptor = result.descriptor
        content.ahead = result.value
        content.taken = time.monotonic()

    async def _snapshot(self, content: Content, self_capabilities: int) -> None:
        node = content.node
        assert node.sibling is not None
        view = node.sibling.view
        directory = self._proc.directory(node.process)
        # What is read from now stays until there is something else: also the account's charge for
        # it.
        space = self._budgets.space(content.placement.account) + content.charged
        if view.decode and content.inline:
            with self._credentials.acting_as(content.identity, self_capabilities):
                raw = reading.content(directory, node.path, _nothing)
            machine = self._roots.facts.machine({}, named=True)
            made = content_of(view, node.sibling.suffix, view.decoded(raw, machine), machine)
            self._keep(
                content, made if len(made) <= INLINE_BYTES else spool_or_bytes(iter((made,)), space)
            )
            return
        base = node.path[: -len(node.source)].rstrip(b"/") if node.source else node.path
        operation = MakeView(base, view.name, node.sibling.suffix, content.viewer, space)
        request = request_of(
            operation, content.identity, node.process, self_capabilities, content.namespaces
        )
        self._keep(
            content, await self._dispatch.call(node, content.placement, request, [directory])
        )

    def _keep(self, content: Content, made: bytes | Spool | Result) -> None:
        """Let a content be read from what was made, in the place of what was there before."""
        if isinstance(made, Result) and made.descriptor < 0:
            made = bytes(made.value)
        stream = made.stream if isinstance(made, Result) else None
        if isinstance(made, bytes):
            data, descriptor, size = made, -1, len(made)
        elif isinstance(made, Spool):
            data, descriptor, size = None, made.number, made.size
        else:
            data, descriptor, size = (
                None,
                made.descriptor,
                stream.size if stream else int(made.value),
            )
        try:
            self._charge(content, size - content.charged)
        except OSError:
            if stream:
                stream.abandon()
            if descriptor >= 0:
                os.close(descriptor)
            raise
        content.drop()
        content.data, content.descriptor, content.stream = data, descriptor, stream
        content.taken = time.monotonic()
        if stream:
            stream.charge = partial(self._charge, content)

    def _charge(self, content: Content, size: int) -> None:
        """Charge so many bytes more, or fewer, to the account of who opened it."""
        self._budgets.charge(content.placement.account, 0, size)
        content.charged += size

    async def read(self, content: Content, off: int, size: int) -> bytes:
        """A slice of the snapshot, or the kernel's answer to the opener."""
        if content.node.sibling:
            if off == 0:
                await self._rewound(content)
            if content.data is not None:
                return content.data[off : off + size]
            if content.stream:
                if not content.stream.has(off, size):
                    with self._dispatch.waiting(content.placement):
                        await content.stream.wait_for(off, size)
                return content.stream.read(off, size)
            return os.pread(content.descriptor, size, off)
        if content.inline:
            with self._credentials.acting_as(content.identity):
                return proc.read(content.descriptor, off, size)
        if content.ahead is not None:
            piece = _piece(content, off, size)
            if not piece:
                content.ahead = None
            if piece is not None:
                return piece
        node = content.node
        request = request_of(Read(off, size), content.identity, node.process)
        result = await self._dispatch.call(node, content.placement, request, [content.descriptor])
        return bytes(payload(result))

    async def _rewound(self, content: Content) -> None:
        """Reading again from the start takes a new snapshot as the opener, of small views, once a second at most."""
        if not content.started:
            content.started = True
        elif (
            content.data is not None
            and not content.renewed
            and time.monotonic() - content.taken > _REWIND
        ):
            # Who reads from the start at the same time gets what there is.
            content.renewed = True
            try:
                await self._snapshot(content, 0)
            finally:
                content.renewed = False

    def close(self, content: Content) -> None:
        """Give back everything, also to the account."""
        self._budgets.refund(
            content.placement.account, 1 + len(content.placement.opened), content.charged
        )
        content.close()


def _piece(content: Content, off: int, size: int) -> bytes | None:
    """What was read ahead, if it may still be shown.

    A reader who began with it gets the rest of it too, in one piece.

    The descriptor stands behind it; reading its middle anew would join what the kernel says at two
    times.
    """
    assert content.ahead is not None
    data, whole = content.ahead
    if off == 0:
        content.started = time.monotonic() - content.taken < _FRESH
    if not content.started or off > len(data) or (off == len(data) and not whole):
        return None
    return data[off : off + size]


def _nothing() -> None:
    """The progress of what is done at once."""
