"""The open directories of the mirror.

Their entries are those of the time when the kernel asked for them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.nodes import Node
from procmirror.fuse.placement import Dispatch
from procmirror.fuse.quota import Quota
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import error
from procmirror.identity.identity import Identity
from procmirror.identity.requester import Requester
from procmirror.mirror import tree
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Proc
from procmirror.workers.operations import ListEntries

# The approximate memory in bytes of a name that was found and of an entry that was reported;
# entries are charged in groups of so many.
_NAME, _ENTRY, _SOME = 100, 800, 64
# The least number of reported entries that are kept: the kernel may return to some of its last
# answer.
_WINDOW = 4096


class OpenDirectory:
    """An open directory.

    If the kernel allows it without a question, its entries are looked at only when they are asked
    for.

    Of a large directory only the last entries are kept; a reader that seeks further back has it
    read again.
    """

    __slots__ = (
        "_charge",
        "_found",
        "_gone",
        "account",
        "descriptor",
        "entries",
        "identity",
        "more",
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
        self._found = 0
        self._gone = 0
        self.descriptor = -1
        self.entries: list[Entry] = []
        self.more: Iterator[Entry] | None = None
        self.read = False

    def begin(self) -> None:
        """Read the names with the identity that this thread acts as."""
        assert self.node.traits
        found = os.listdir(self.descriptor)
        self.pay_for(_NAME * len(found))
        self._found, self._gone, self.entries = len(found), 0, []
        self.more = tree.listing(self.descriptor, self.node.traits, found, self.node.is_listed)

    def again(self) -> None:
        """Begin again, as rewinddir(3) wants it.

        Entries that were all read at OPENDIR stay: the right to read them ended there.
        """
        if self.read and self.descriptor >= 0:
            self.begin()
        self.read = True

    def nth(self, at: int) -> Entry | None:
        """The entry at a position, None after the last.

        OSError(ENFILE) if the account holds too many names.
        """
        if at < self._gone:
            self.begin()
        while self._gone + len(self.entries) <= at:
            if not len(self.entries) % _SOME:
                self.pay_for(_NAME * self._found + _ENTRY * (len(self.entries) + _SOME))
            if self.more is None or (entry := next(self.more, None)) is None:
                return None
            self.entries.append(entry)
            if len(self.entries) == 2 * _WINDOW:
                del self.entries[:_WINDOW]
                self._gone += _WINDOW
        return self.entries[at - self._gone]

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
            listing.entries = await self._indexes.entries(node.path, requester)
            listing.pay_for(_ENTRY * len(listing.entries))
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
                    listing.begin()
            except PermissionError:
                if not self_capabilities:
                    raise
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
        listing.entries = list(zip((name for name, _ in entries), attributes, strict=True))
        listing.pay_for(_ENTRY * len(listing.entries))

    def all_of(self, listing: OpenDirectory) -> list[Entry]:
        """All entries, which are not read anew from then on."""
        with self._credentials.acting_as(listing.identity):
            entries = [*listing.entries, *(listing.more or ())]
        if listing.descriptor >= 0:
            os.close(listing.descriptor)
        listing.descriptor, listing.more = -1, None
        listing.pay_for(_ENTRY * len(entries))
        return entries

    def close(self, listing: OpenDirectory) -> None:
        """Close the descriptor, and refund the account."""
        self._quota.refund(listing.account, 1, listing.paid)
        if listing.descriptor >= 0:
            os.close(listing.descriptor)
