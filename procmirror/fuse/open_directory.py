"""An open directory, whose entries are those of the time when the kernel asks for them."""

from __future__ import annotations

import stat
from collections.abc import Callable
from operator import itemgetter

from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.fuse.process_names import Reader
from procmirror.identity.identity import Identity
from procmirror.mirror.listing import Lookups
from procmirror.mirror.tree import Entry
from procmirror.procfs.proc import Attributes, Name

# What a name takes, and an entry with its attributes, in bytes, roughly.
_NAME, _ENTRY = 100, 800
_KIND = itemgetter(1)


class OpenDirectory:
    """An open directory: its names, which are looked at when the kernel asks for them.

    `names` are those with their types, of which 0 is unknown. Each keeps its place: one that has
    vanished is passed over. `descriptor` is where they are looked at, -1 where they were when the
    directory was opened, as the right to do so ended there. `execution` is where the names are read
    again, and `reader` for whom, if that decides which processes are listed.
    """

    __slots__ = (
        "_charge",
        "_entries",
        "_kinds",
        "_lookups",
        "account",
        "descriptor",
        "execution",
        "identity",
        "names",
        "node",
        "paid",
        "read",
        "reader",
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
        self._entries: list[Entry] = []
        self.names: list[Name] = []
        self._kinds: frozenset[int] | None = None
        self.execution: Execution | None = None
        self.read = False
        self.reader: Reader | None = None

    def show(self, names: list[Name]) -> None:
        """Have these names from now on; OSError(ENFILE) where the account holds too many."""
        self.pay_for(_NAME * len(names))
        self._show(names)

    def show_entries(self, entries: list[Entry]) -> None:
        """Have these entries for good; OSError(ENFILE) where the account holds too many."""
        self.pay_for(_ENTRY * len(entries))
        self._entries = entries
        self._show([(name, stat.S_IFMT(attributes.mode)) for name, attributes in entries])

    def _show(self, names: list[Name]) -> None:
        self.names, self._kinds = names, None

    @property
    def kinds(self) -> frozenset[int]:
        """All types of the names."""
        if self._kinds is None:
            self._kinds = frozenset(map(_KIND, self.names))
        return self._kinds

    @property
    def traits_path(self) -> str:
        """What is known of the directory, as operations name it."""
        assert self.node.traits is not None
        return self.node.traits.path

    def look(self) -> None:
        """Look at the names anew from now on."""
        traits = self.node.traits
        assert traits is not None
        self._lookups = Lookups(self.descriptor, traits)

    def attributes(self, place: int) -> Attributes | None:
        """The attributes of the name at a place.

        None if it has vanished, or may not be looked at.
        """
        if self.descriptor < 0:
            return self._entries[place][1]
        try:
            return self._lookups.attributes(self.names[place][0])
        except OSError:
            return None

    def all_entries(self) -> list[Entry]:
        """The names that have not vanished, with their attributes."""
        found = [(name, self.attributes(place)) for place, (name, _) in enumerate(self.names)]
        return [(name, one) for name, one in found if one is not None]

    def pay_for(self, size: int) -> None:
        """Charge up to `size` bytes in all to the account."""
        if size > self.paid:
            self._charge(self.account, 0, size - self.paid)
            self.paid = size
