"""An open directory, whose entries are those of the time when the kernel asks for them."""

from __future__ import annotations

import stat
from collections.abc import Callable

from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.fuse.process_names import Reader
from procmirror.identity.identity import Identity
from procmirror.mirror.listing import Lookups
from procmirror.mirror.tree import Entry
from procmirror.procfs.proc import Attributes, Name

# What a name takes, and an entry with its attributes, in bytes, roughly.
_NAME, _ENTRY = 100, 800


class OpenDirectory:
    """An open directory: its names, which are looked at when the kernel asks for them.

    `descriptor` is where they are looked at, -1 where they were when the directory was opened, as
    the right to do so ended there: then `entries` are all there is. An entry keeps its place: one
    that has vanished is passed over. `execution` is where the names are read again, and
    `reader` for whom, if that decides which processes are listed.
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
        self.entries: list[Entry] = []
        self.names: list[Name] = []
        self.execution: Execution | None = None
        self.read = False
        self.reader: Reader | None = None

    def show(self, names: list[Name]) -> None:
        """Have these names from now on; OSError(ENFILE) where the account holds too many."""
        self.pay_for(_NAME * len(names))
        self.names = names

    def show_entries(self, entries: list[Entry]) -> None:
        """Have these entries for good; OSError(ENFILE) where the account holds too many."""
        self.entries = entries
        self.pay_for(_ENTRY * len(entries))

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

    def nth(self, at: int) -> tuple[bytes, Attributes | None, int] | None:
        """A name by its place, its attributes if they are known, its type; None after the last.

        The type is 0 if it is unknown.
        """
        if self.descriptor < 0:
            if at >= len(self.entries):
                return None
            name, attributes = self.entries[at]
            return name, attributes, stat.S_IFMT(attributes.mode)
        if at >= len(self.names):
            return None
        name, kind = self.names[at]
        return name, None, kind

    def attributes(self, name: bytes) -> Attributes | None:
        """The attributes of a name; None if it has vanished, or may not be looked at."""
        try:
            return self._lookups.attributes(name)
        except OSError:
            return None

    def pay_for(self, size: int) -> None:
        """Charge up to `size` bytes in all to the account."""
        if size > self.paid:
            self._charge(self.account, 0, size - self.paid)
            self.paid = size
