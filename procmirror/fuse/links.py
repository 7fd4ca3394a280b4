"""The texts of links."""

from __future__ import annotations

import errno
from functools import partial
from typing import TypeVar

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.namespace_links import NamespaceLinks
from procmirror.fuse.nodes import Node
from procmirror.fuse.object_links import ObjectLinks, is_object
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester
from procmirror.procfs import proc
from procmirror.procfs.processes import Proc
from procmirror.workers.entry_operations import ReadLink, ReadObjectLink
from procmirror.workers.operation import Operation

T = TypeVar("T")

# The links of the root that lead to the requester's own directories.
_SELF = frozenset({b"self", b"thread-self"})


class Links:
    """Reads links as a requester.

    `own` is a descriptor of the procfs in which FUSE names threads. With `leads_to_proc`, the links
    of processes lead to the objects behind those of /proc.
    """

    def __init__(
        self,
        source: Proc,
        own: int,
        dispatch: Dispatch,
        indexes: IndexCache,
        objects: ObjectLinks,
        *,
        leads_to_proc: bool,
    ) -> None:
        self._proc = source
        self._own = own
        self._dispatch = dispatch
        self._indexes = indexes
        self._objects = objects
        self._leads_to_proc = leads_to_proc
        self._namespaces = NamespaceLinks(dispatch)
        # The directory of the link that was read last, where its text was a path.
        self._last_path: Node | None = None

    async def text(self, node: Node, requester: Requester) -> bytes:
        """The text of a link: `self` is the requester; any other is the kernel's answer."""
        if node.place.is_index:
            return await self._indexes.link(node.path, requester)
        if is_at_root(node):
            return self._text_at_root(node, requester)
        if is_object(node):
            return await self._text_of_object(node, requester)
        process = node.process
        if process is None or self._dispatch.kernel_threads.is_one(process):
            return await self._read(node, requester, ReadLink(node.path), waits=False)
        read = partial(self._read, node, requester, waits=node.place.links_wait)
        return await self._namespaces.text(node, requester, read)

    async def _read(
        self,
        node: Node,
        requester: Requester,
        operation: Operation[T],
        *,
        waits: bool,
        by_ring: bool = True,
    ) -> T:
        """What an operation reads of a link, with the rights of the requester."""
        return await self._dispatch.perform(
            node,
            requester,
            operation,
            source=node.name,
            of_oneself=True,
            waits=waits,
            by_ring=by_ring,
        )

    async def _text_of_object(self, node: Node, requester: Requester) -> bytes:
        process = node.process
        waits = not (
            process is None or process.own or self._dispatch.kernel_threads.is_one(process)
        )
        is_own = not waits or self._dispatch.self_access.is_own(process, requester)
        if is_own and self._objects.asks():
            # The text alone asks no server, and what is no path stands for nothing to look at.
            text = await self._read(node, requester, ReadLink(node.path), waits=False)
            if not text.startswith(b"/"):
                return text
            waits = True
        # A path is expected where the last text in the directory was one.
        operation = ReadObjectLink(node.path, text_first=self._last_path is not node.parent)
        # The daemon looks itself at the object that the ring opens.
        by_ring = not self._objects.asks()
        found = await self._read(node, requester, operation, waits=waits, by_ring=by_ring)
        self._last_path = node.parent if found.text[:1] == b"/" else None
        native = self._native(node, found.text, requester) if self._leads_to_proc else found.text
        return native if native != found.text else await self._objects.text(node, found, requester)

    def _text_at_root(self, node: Node, requester: Requester) -> bytes:
        if node.name in _SELF:
            process = self._proc.number(requester.tgid, self._own)
            thread = self._proc.number(requester.tid, self._own)
            if process is None or thread is None:
                raise error(errno.ENOENT)
            return process if node.name == b"self" else process + b"/task/" + thread
        text = proc.link(self._proc.root, node.path)
        return text + b"." + node.sibling.suffix.encode() if node.sibling else text

    def _native(self, node: Node, text: bytes, requester: Requester) -> bytes:
        """The path of the same link on /proc, which leads to the object itself.

        Only if the requester shares the daemon's pid namespace, and only for a text that is a path:
        `pipe:[1]` and `net:[2]` are read for their numbers.
        """
        is_path = node.process is not None and text.startswith(b"/")
        if not is_path or not self._dispatch.shares_pid_namespace(requester):
            return text
        assert node.process
        return b"/proc/%s/%s" % (node.process.name, node.path)


def is_at_root(node: Node) -> bool:
    """Whether a node is a name in the root that belongs to no process."""
    return node.parent is not None and node.parent.parent is None and node.process is None


def is_self(node: Node) -> bool:
    """Whether a node is a link to the requester's own directory."""
    return is_at_root(node) and node.name in _SELF
