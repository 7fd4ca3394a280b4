"""What the kernel holds open of the mirror's directories: their entries, as they were when it asked for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from procmirror import mirror, proc
from procmirror.budget import Budgets
from procmirror.credentials import Credentials, Identity, Requester, account
from procmirror.dispatch import Dispatch, name_of
from procmirror.inodes import Node
from procmirror.mirror import Entry
from procmirror.proc import Attributes, Proc
from procmirror.signposts import Signposts
from procmirror.worker import Home, Work
from procmirror.workers import Workers, whole

# What a name in an open listing takes, in bytes, roughly, and for how many is paid at a time.
_ENTRY, _SOME = 800, 256


class Listing:
    """An open directory: its entries, found as they are asked for where the kernel asks no question about them."""

    __slots__ = ("_charge", "account", "descriptor", "entries", "identity", "more", "node", "paid", "read")

    def __init__(self, node: Node, identity: Identity, payer: int, charge: Callable[[int, int, int], None]) -> None:
        self.node = node
        self.account = payer
        self.identity = identity
        self.paid = 0
        self._charge = charge
        self.descriptor = -1
        self.entries: list[Entry] = []
        self.more: Iterator[Entry] | None = None
        self.read = False

    def again(self) -> None:
        """Begin anew, as rewinddir(3) wants it; what was read at OPENDIR because the right to do so ended there stays."""
        if self.read and self.descriptor >= 0 and self.node.traits:
            self.entries, self.more = [], mirror.listing(self.descriptor, self.node.traits, self.node.is_listed)
        self.read = True

    def nth(self, at: int) -> Entry | None:
        """An entry by its place, None after the last; OSError(ENFILE) where the account holds too many names."""
        while len(self.entries) <= at:
            if self.more is None or (entry := next(self.more, None)) is None:
                return None
            if len(self.entries) == self.paid:
                self.pay_for(self.paid + _SOME)
            self.entries.append(entry)
        return self.entries[at]

    def pay_for(self, names: int) -> None:
        """Charge so many names to the account, if they are not yet."""
        if names > self.paid:
            self._charge(self.account, 0, _ENTRY * (names - self.paid))
            self.paid = names


class Listings:
    """Opens and closes directories."""

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        workers: Workers,
        home: Home,
        budgets: Budgets,
        dispatch: Dispatch,
        signposts: Signposts,
    ) -> None:
        self._proc = source
        self._credentials = credentials
        self._workers = workers
        self._home = home
        self._budgets = budgets
        self._dispatch = dispatch
        self._signposts = signposts

    async def open(self, node: Node, requester: Requester) -> Listing:
        """Opened as the requester, and read at once where the right to do so is only that of this moment."""
        if node.traits is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self._dispatch.refuse_confined_for(node, requester)
        listing = Listing(node, requester.identity, account(self._home.own, requester), self._budgets.charge)
        self._budgets.charge(listing.account, 1, 0)
        try:
            await self._listed(listing, requester)
        except BaseException:
            self.close(listing)
            raise
        return listing

    async def _listed(self, listing: Listing, requester: Requester) -> None:
        node = listing.node
        traits = node.traits
        assert traits is not None
        if traits.is_index:
            listing.entries = await self._signposts.entries(node.path, requester)
            listing.pay_for(len(listing.entries))
            return
        bonus = self._dispatch.bonus(node.process, requester, traits, node.source if node.path else b"")
        where = self._dispatch.where(requester, traits.depends)
        directory = self._proc.directory(node.process)
        if not (traits.blocks or where.differing or (node.process is not None and node.process.own)):
            try:
                with self._credentials.acting_as(listing.identity):
                    listing.descriptor = proc.open_directory(directory, node.path)
                    listing.more = mirror.listing(listing.descriptor, traits, node.is_listed)
            except PermissionError:
                if not bonus:
                    raise
            else:
                return
        # Also where only the bonus opens it, which ends with OPENDIR: all names are read at once, many of them in a long time.
        work = Work("entries", requester.identity, bonus, name_of(node.process), node.path, traits.path)
        lock = self._dispatch.lock(node.process, traits, node.source)
        found = await self._workers.call(work, [directory], where, lock)
        names, attributes = zip(*whole(found), strict=True) if found.value else ((), ())
        translated = self._dispatch.translated([Attributes(*one) for one in attributes], requester)
        listing.entries = list(zip(names, translated, strict=True))
        listing.pay_for(len(listing.entries))

    def close(self, listing: Listing) -> None:
        """Give back the descriptor, also to the account."""
        self._budgets.refund(listing.account, 1, _ENTRY * listing.paid)
        if listing.descriptor >= 0:
            os.close(listing.descriptor)
