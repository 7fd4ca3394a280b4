"""The open directories of the mirror.

Their entries are those of the time when the kernel asked for them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from msgspec.structs import replace

from procmirror.fuse.execution import Execution
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.nodes import Node
from procmirror.fuse.placement import Dispatch
from procmirror.fuse.quota import Quota
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import error
from procmirror.identity.identity import Identity
from procmirror.identity.requester import Requester
from procmirror.mirror.listing import Lookups
from procmirror.mirror.listing import names as names_of
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc
from procmirror.workers.content import Content
from procmirror.workers.directory_operations import ListEntries, ListNames
from procmirror.workers.spool import Spool

# What a name takes, and an entry with its attributes, in bytes, roughly.
_NAME, _ENTRY = 100, 800
# Beyond so many names a worker reads them, as the kernel takes microseconds for each.
_MANY = 2000


class OpenDirectory:
    """An open directory: its names, which are looked at when the kernel asks for them.

    `descriptor` is where they are looked at, -1 where they were when the directory was opened, as
    the right to do so ended there: then `entries` are all there is. An entry keeps its place: one
    that has vanished is passed over. `execution` is where the names are read again.
    """

    __slots__ = (
        "_charge",
        "_lookups",
        "account",
        "descriptor",
        "entries",
        "execution",
        "identity",
        "names",
        "node",
        "paid",
        "read",
    )

    def __init__(
        self, node: Node, identity: Identity, account: int, charge: Callable[[int, int, int], None]
    ) -> None:
        self.node = node
        self.account = account
        self.identity = identity
        self.paid = 0
        self._charge = charge
        self.descriptor = -1
        self.entries: list[Entry] = []
        self.names: list[bytes] = []
        self.execution: Execution | None = None
        self.read = False

    def show(self, names: list[bytes]) -> None:
        """Have these names from now on; OSError(ENFILE) where the account holds too many."""
        self.pay_for(_NAME * len(names))
        self.names = names

    def show_entries(self, entries: list[Entry]) -> None:
        """Have these entries for good; OSError(ENFILE) where the account holds too many."""
        self.entries = entries
        self.pay_for(_ENTRY * len(entries))

    def look(self) -> None:
        """Look at the names anew from now on."""
        traits = self.node.traits
        assert traits is not None
        self._lookups = Lookups(self.descriptor, traits, self.node.is_listed)

    def nth(self, at: int) -> tuple[bytes, Attributes | None] | None:
        """An entry by its place, without attributes if it has vanished; None after the last."""
        if self.descriptor < 0:
            return self.entries[at] if at < len(self.entries) else None
        if at >= len(self.names):
            return None
        name = self.names[at]
        try:
            return name, self._lookups.attributes(name)
        except OSError:
            return name, None

    def pay_for(self, size: int) -> None:
        """Charge up to `size` bytes in all to the account."""
        if size > self.paid:
            self._charge(self.account, 0, size - self.paid)
            self.paid = size


class Directories:
    """Opens and closes directories."""

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        quota: Quota,
        dispatch: Dispatch,
        indexes: IndexCache,
    ) -> None:
        self._proc = source
        self._credentials = credentials
        self._quota = quota
        self._dispatch = dispatch
        self._indexes = indexes

    async def open(self, node: Node, requester: Requester) -> OpenDirectory:
        """Open a directory as the requester; read it at once if the right ends with OPENDIR."""
        if node.traits is None:
            raise error(errno.ENOTDIR)
        self._dispatch.refusals.refuse_confined_for(node, requester)
        listing = OpenDirectory(
            node, requester.identity, self._dispatch.account_of(requester), self._quota.charge
        )
        self._quota.charge(listing.account, 1, 0)
        try:
            await self._listed(listing, requester)
        except BaseException:
            self.close(listing)
            raise
        return listing

    async def _listed(self, listing: OpenDirectory, requester: Requester) -> None:
        node = listing.node
        traits = node.traits
        assert traits is not None
        if traits.is_index:
            listing.show_entries(await self._indexes.entries(node.path, requester))
            return
        self_capabilities = self._dispatch.self_access.capabilities(
            node.process, requester, traits, node.source if node.path else b""
        )
        execution = self._dispatch.execution(
            node.process,
            requester,
            self._dispatch.placement_of(requester, traits.depends),
            self._dispatch.lock(node.process, traits, node.source),
            waits=traits.blocks,
        )
        directory = self._proc.directory(node.process)
        if execution.here:
            try:
                with self._credentials.acting_as(listing.identity):
                    listing.descriptor = proc.open_directory(directory, node.path)
                listing.execution = execution
                await self._read_names(listing)
            except PermissionError:
                if not self_capabilities:
                    raise
                self._close_descriptor(listing)
            else:
                return
        # This includes directories that only self-access capabilities open. These are valid until
        # OPENDIR returns, so all names are read at once, even if there are many.
        entries = await self._dispatch.run(
            ListEntries(node.path, traits.path),
            (directory,),
            replace(execution, here=False, self_capabilities=self_capabilities),
        )
        attributes = self._dispatch.translated([shown for _, shown in entries], requester)
        listing.show_entries(list(zip((name for name, _ in entries), attributes, strict=True)))

    async def begin(self, listing: OpenDirectory) -> None:
        """Begin to read from the start, for the second time anew, as rewinddir(3) wants it.

        What was read at OPENDIR because the right to do so ended there stays.
        """
        if listing.read and listing.execution:
            await self._read_names(listing)
        listing.read = True

    async def _read_names(self, listing: OpenDirectory) -> None:
        """Read the names of an open directory, as its opener: some here, many by a worker."""
        traits, execution = listing.node.traits, listing.execution
        assert traits is not None
        assert execution is not None
        with self._credentials.acting_as(listing.identity):
            found = proc.some_names(listing.descriptor, _MANY)
        if found is not None:
            listing.show(names_of(traits, found))
            return
        space = self._quota.space(listing.account)
        content = await self._dispatch.run(
            ListNames(listing.node.path, traits.path, space),
            (self._proc.directory(listing.node.process),),
            replace(execution, here=False),
        )
        listing.show(_whole(content).split(b"/"))

    def all_of(self, listing: OpenDirectory) -> list[Entry]:
        """All entries, which are not read anew from then on."""
        if listing.descriptor >= 0:
            with self._credentials.acting_as(listing.identity):
                listing.look()
                found = [listing.nth(at) for at in range(len(listing.names))]
            self._close_descriptor(listing)
            entries = [(one[0], one[1]) for one in found if one and one[1] is not None]
            listing.show_entries(entries)
        return listing.entries

    def close(self, listing: OpenDirectory) -> None:
        """Close the descriptor, and refund the account."""
        self._quota.refund(listing.account, 1, listing.paid)
        self._close_descriptor(listing)

    def _close_descriptor(self, listing: OpenDirectory) -> None:
        if listing.descriptor >= 0:
            os.close(listing.descriptor)
            listing.descriptor, listing.execution = -1, None


def _whole(content: Content) -> bytes:
    """A content, of which nothing stays open."""
    if not isinstance(content, Spool):
        assert isinstance(content, bytes)
        return content
    try:
        return os.pread(content.number, content.size, 0)
    finally:
        os.close(content.number)
