"""Opening directories: which process reads their names, and when."""

from __future__ import annotations

import errno
import os
from functools import partial

from msgspec.structs import replace

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.nodes import Node
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.process_names import ProcessNames
from procmirror.fuse.quota import Quota
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester
from procmirror.mirror.tree import Entry
from procmirror.procfs.proc import Name
from procmirror.procfs.processes import Proc
from procmirror.workers.content import Content
from procmirror.workers.directory_operations import (
    ListEntries,
    ListNames,
    OpenDir,
    ReadNames,
    names_of,
)
from procmirror.workers.operation import kept_open
from procmirror.workers.spool import Spool

# Beyond so many names a worker reads them, as the kernel takes microseconds for each.
_MANY = 2000


class Directories:
    """Opens and closes directories."""

    def __init__(
        self,
        source: Proc,
        quota: Quota,
        dispatch: Dispatch,
        indexes: IndexCache,
    ) -> None:
        self._proc = source
        self._quota = quota
        self._dispatch = dispatch
        self._indexes = indexes
        self._processes = ProcessNames(source, dispatch)

    async def open(self, node: Node, requester: Requester) -> OpenDirectory:
        """Open a directory as the requester; read it at once if the right ends with OPENDIR."""
        if node.traits is None:
            raise error(errno.ENOTDIR)
        listing = OpenDirectory(
            node, requester.identity, self._dispatch.account_of(requester), self._quota.charge
        )
        self._quota.charge(listing.account, 1, 0)
        try:
            await self._read(listing, requester)
        except BaseException:
            self.close(listing)
            raise
        return listing

    async def _read(self, listing: OpenDirectory, requester: Requester) -> None:
        node, traits = listing.node, listing.node.traits
        assert traits is not None
        if traits.is_index:
            listing.show_entries(await self._indexes.entries(node.path, requester))
            return
        execution = self._dispatch.execution(
            node.process, requester, traits, node.source, kinds=traits.depends, node=node
        )
        self_capabilities = self._dispatch.self_access.capabilities(
            node.process, requester, traits, node.source if node.path else b""
        )
        if node.parent is None and self._processes.hides_from(execution):
            await self._read_processes(listing, requester, replace(execution, here=False))
            return
        if execution.here:
            try:
                await self._open_here(listing, execution)
            except (PermissionError, FileNotFoundError):
                # A mount that hides a process says that it is not there.
                if not self_capabilities:
                    raise
                self._close_descriptor(listing)
            else:
                return
        execution = replace(execution, here=False, self_capabilities=self_capabilities)
        await self._read_at_once(listing, requester, execution)

    async def _open_here(self, listing: OpenDirectory, execution: Execution) -> None:
        """Open a directory in which names are looked up by READDIR."""
        opened = await self._dispatch.run(
            OpenDir(listing.node.path, listing.traits_path, _most(listing.node)),
            partial(self._proc.descriptors, listing.node.process),
            execution,
        )
        listing.descriptor, listing.execution = opened.number, execution
        await self._show(listing, opened.readahead)

    async def _read_at_once(
        self, listing: OpenDirectory, requester: Requester, execution: Execution
    ) -> None:
        """Have a worker read all entries, even if there are many.

        Self-access capabilities are valid until OPENDIR returns, so this includes directories that
        only they open.
        """
        entries = await self._dispatch.run(
            ListEntries(listing.node.path, listing.traits_path),
            partial(self._proc.descriptors, listing.node.process),
            execution,
        )
        names = [name for name, _ in entries]
        attributes = self._dispatch.translated([shown for _, shown in entries], requester)
        if listing.node.process is None and execution.placement.apart:
            before = listing.node.path and listing.node.path + b"/"
            paths = [before + name for name in names]
            attributes = list(map(self._dispatch.owned_as_here, paths, attributes))
        listing.show_entries(list(zip(names, attributes, strict=True)))

    async def _read_processes(
        self, listing: OpenDirectory, requester: Requester, execution: Execution
    ) -> None:
        """Read the root of a procfs that hides processes from the requester."""
        reader = self._processes.reader(requester)
        listing.show_entries(await self._processes.listed(execution, reader))
        if not execution.placement.apart:
            listing.execution, listing.reader = execution, reader

    async def begin(self, listing: OpenDirectory) -> None:
        """Begin to read from the start, for the second time anew, as rewinddir(3) wants it.

        What was read at OPENDIR because the right to do so ended there stays.
        """
        if listing.read and listing.execution and listing.reader:
            entries = await self._processes.listed(listing.execution, listing.reader)
            listing.show_entries(entries)
        elif listing.read and listing.execution:
            names = await self._dispatch.run(
                ReadNames(listing.traits_path, _most(listing.node)),
                kept_open(listing.descriptor),
                listing.execution,
            )
            await self._show(listing, names)
        listing.read = True

    async def _show(self, listing: OpenDirectory, names: list[Name] | None) -> None:
        """Show these names of an open directory; if there are many, those that a worker reads."""
        assert listing.execution is not None
        if names is not None:
            listing.show(names)
            return
        space = self._quota.space(listing.account)
        content = await self._dispatch.run(
            ListNames(listing.node.path, listing.traits_path, space),
            partial(self._proc.descriptors, listing.node.process),
            replace(listing.execution, here=False),
        )
        found = names_of(_bytes_of(content))
        listing.node.is_long = len(found) > _MANY
        listing.show(found)

    def all_of(self, listing: OpenDirectory) -> list[Entry]:
        """All entries, which are not read anew from then on."""
        if listing.descriptor >= 0:
            with self._dispatch.acting_as(listing.identity):
                listing.look()
                found = listing.all_entries()
            self._close_descriptor(listing)
            listing.show_entries(found)
        listing.execution = None
        return listing.all_entries()

    def close(self, listing: OpenDirectory) -> None:
        """Close the descriptor, and refund the account."""
        self._quota.refund(listing.account, 1, listing.paid)
        self._close_descriptor(listing)

    def _close_descriptor(self, listing: OpenDirectory) -> None:
        if listing.descriptor >= 0:
            os.close(listing.descriptor)
            listing.descriptor, listing.execution = -1, None


def _most(node: Node) -> int:
    """How many names of a directory are read without a worker: none where there were too many."""
    return 0 if node.is_long else _MANY


def _bytes_of(content: Content) -> bytes:
    """A content, of which nothing stays open."""
    if not isinstance(content, Spool):
        assert isinstance(content, bytes)
        return content
    try:
        return os.pread(content.number, content.size, 0)
    finally:
        os.close(content.number)
