"""The links of `ns` for threads that read the same ones of each process, as pstree does.

A worker reads such a link, as it may have to wait for the process. For a thread that has read
several of them in the directory before, it reads the same ones here in one go, for the READLINKs
that follow at once. All of them need the same right over the same process, and only that process
can change them.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.nodes import Node
from procmirror.identity.requester import Requester
from procmirror.workers.entry_operations import ReadLink, ReadLinks
from procmirror.workers.operation import Operation

# A text is good for a READLINK for so many seconds; of so many threads.
_SECONDS, _THREADS = 0.02, 64


class _Walk(msgspec.Struct, eq=False):
    """The links of one directory that a thread reads.

    `before` are those that it read in the directory before, `names` those here so far. `known` are
    texts by name, good until `until`.
    """

    directory: Node
    requester: Requester
    before: list[bytes]
    names: list[bytes] = []
    known: dict[bytes, bytes] = {}
    until: float = 0.0

    def likely_after(self, name: bytes) -> list[bytes]:
        """The links that are likely to be read after this one."""
        return [one for one in self.before if one not in self.names] if name in self.before else []


class NamespaceLinks:
    """Reads the links of `ns` as a requester."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._walks: dict[int, _Walk] = {}

    async def text(
        self,
        node: Node,
        requester: Requester,
        read: Callable[[Operation[Any]], Awaitable[Any]],
    ) -> bytes:
        """The text of a link; `read` carries out an operation on it. OSError as the kernel's.

        A process that looks at itself may change what it is about to read, and what is read again
        is asked for again.
        """
        alone: Operation[bytes] = ReadLink(node.path)
        if self._dispatch.self_access.is_own(node.process, requester):
            return bytes(await read(alone))
        walk = self._walk_of(node, requester)
        if node.name in walk.names:
            walk.known = {}
            return bytes(await read(alone))
        walk.names.append(node.name)
        if node.name in walk.known and time.monotonic() < walk.until:
            return walk.known[node.name]
        likely = walk.likely_after(node.name)
        if not likely:
            return bytes(await read(alone))
        # From the question on: the worker may wait for a processor after it has read them.
        until = time.monotonic() + _SECONDS
        found = await read(ReadLinks(node.path[: -len(node.name)], [node.name, *likely]))
        walk.known, walk.until = dict(found), until
        return walk.known[node.name]

    def _walk_of(self, node: Node, requester: Requester) -> _Walk:
        """What a thread reads in the directory of a link."""
        assert node.parent
        last = self._walks.get(requester.tid)
        same = last is not None and last.requester == requester
        if last is not None and same and last.directory is node.parent:
            return last
        if len(self._walks) >= _THREADS:
            self._walks.clear()
        walk = _Walk(node.parent, requester, last.names if last is not None and same else [])
        self._walks[requester.tid] = walk
        return walk
