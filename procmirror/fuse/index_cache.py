"""Answers for the indexes.

Every directory of an index exists without a question; each link is looked up.

A listing is made by a worker as the requester, for a whole index at a time. For a moment it also
serves every requester that is the same in all respects: a walk through an index then does not look
at every process again for each directory.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple, Protocol, TypeVar

from procmirror.fuse.account_names import AccountNames
from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror import index_query, tree
from procmirror.mirror.index import Index, parse, target
from procmirror.mirror.index.relations import Table
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.operation import Operation, Viewer, kept_open
from procmirror.workers.view_operations import CheckLink, MakeTable

T = TypeVar("T")

# A table is shown for so many times as long as it took to make, and for so many seconds at most: a
# walk spends little of its time on tables, and a user who starts a program and looks for it finds
# it.
_WORTH = 5
_FRESH = 1.0
# The limits of the tables that are kept, and of the names in them.
_MOST_TABLES = 32
_MOST_NAMES = 200_000
# Without these namespaces a requester is not known well enough to share an answer.
_TELLING = frozenset({"user", "pid", "net", "mnt"})


class Context(Protocol):
    """The requester as FUSE names it."""

    @property
    def pid(self) -> int:
        """The thread id."""

    @property
    def uid(self) -> int:
        """The user id for file systems."""

    @property
    def gid(self) -> int:
        """The group id for file systems."""


class _Kept(NamedTuple):
    until: float
    size: int
    table: Table


class IndexCache:
    """Answers for everything in an index; `path` is always the one from the root of the mirror."""

    def __init__(
        self,
        source: Proc,
        requesters: Requesters,
        roots: ProcRoots,
        dispatch: Dispatch,
        names: AccountNames,
    ) -> None:
        self._proc = source
        self._requesters = requesters
        self._roots = roots
        self._dispatch = dispatch
        self._names = names
        self._root = proc.attributes(source.root, b"")
        self._kept: dict[Hashable, _Kept] = {}

    def shown(self, path: bytes) -> Attributes:
        """The attributes of a path that exists."""
        return tree.index_attributes(path, self._root)

    async def attributes(self, path: bytes, context: Context) -> Attributes:
        """LOOKUP: every possible directory exists.

        A link exists if the requester may learn that its process belongs there. Else ENOENT.
        """
        found = parse(path)
        if found is None or index_query.hides(path):
            raise _absent()
        if found[2] == "link":
            requester = self._requesters.identify(context.pid, context.uid, context.gid)
            await self._check(path, found[0], requester)
        return self.shown(path)

    async def link(self, path: bytes, requester: Requester) -> bytes:
        """READLINK: the text, if the link still exists."""
        found = parse(path)
        if found is None or found[2] != "link":
            raise _absent()
        await self._check(path, found[0], requester)
        return target(path)

    async def _check(self, path: bytes, index: Index, requester: Requester) -> None:
        found = await self._call(
            "link", lambda viewer: CheckLink(path, index.name, viewer), index, requester
        )
        if not found:
            raise _absent()

    async def _call(
        self,
        kind: str,
        operation_for: Callable[[Viewer], Operation[T]],
        index: Index,
        requester: Requester,
    ) -> T:
        placement = self._dispatch.placement_of(requester, index.depends)
        # The thread's own number, because it may be in another network namespace than its process.
        pid = self._proc.number(requester.tid, self._roots.own)
        operation = operation_for(Viewer(pid, named=self._names.are_of(requester)))
        lock = (kind, placement.account)
        return await self._dispatch.run(
            operation, kept_open(), Execution(requester.identity, None, placement, lock)
        )

    async def entries(self, path: bytes, requester: Requester) -> list[Entry]:
        """The names in a directory of an index, with their attributes."""
        found = parse(path)
        if found is None:
            return []
        index, below, _ = found
        table = await self._table(index, requester)
        paths = [b"%s/%s" % (path, name.encode()) for name in table.get(index.key(below), ())]
        return [
            (one.rpartition(b"/")[2], self.shown(one))
            for one in paths
            if len(one) < 4096 and not index_query.hides(one)
        ]

    async def _table(self, index: Index, requester: Requester) -> Table:
        namespaces = self._requesters.namespaces.all_of(requester.tid)
        key = self._key(index, requester, namespaces)
        self.forget_old()
        if kept := self._kept.get(key):
            return kept.table
        began = time.monotonic()
        # Whole tables take turns in an account with the other views of all processes.
        table = await self._call(
            "joined", lambda viewer: MakeTable(index.name, viewer), index, requester
        )
        if namespaces.keys() >= _TELLING:
            self._keep(key, table, time.monotonic() - began)
        return table

    def _key(self, index: Index, requester: Requester, namespaces: dict[str, str]) -> Hashable:
        """Everything by which the kernel judges a requester.

        Requesters that differ in anything get different tables.
        """
        label = self._requesters.confinement.label_of(requester.tid)
        named = self._names.are_of(requester)
        return (index.name, requester.identity, tuple(sorted(namespaces.items())), label, named)

    def _keep(self, key: Hashable, table: Table, took: float) -> None:
        # A long path counts as several names.
        size = sum(1 + len(path) // 16 + len(names) for path, names in table.items())
        if size > _MOST_NAMES:
            return
        self._kept.pop(key, None)
        while self._kept and (len(self._kept) >= _MOST_TABLES or self._held() + size > _MOST_NAMES):
            del self._kept[next(iter(self._kept))]
        self._kept[key] = _Kept(time.monotonic() + min(_FRESH, _WORTH * took), size, table)

    def _held(self) -> int:
        return sum(kept.size for kept in self._kept.values())

    def forget_old(self) -> None:
        """Drop the tables that are too old to be shown."""
        now = time.monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if now < kept.until}


def _absent() -> OSError:
    return error(errno.ENOENT)
