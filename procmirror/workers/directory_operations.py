"""What FUSE asks of the directories of /proc."""

from __future__ import annotations

from collections.abc import Sequence

from procmirror.mirror import listing
from procmirror.mirror.tree import Entry
from procmirror.procfs.proc import Attributes
from procmirror.workers.content import Content, content_received
from procmirror.workers.operation import Context, Operation
from procmirror.workers.result import Result
from procmirror.workers.spool import spool_or_bytes


class ListEntries(Operation[list[Entry]], tag="entries", frozen=True):
    """OPENDIR and READDIR at once; `traits` is a path for traits.directory."""

    path: bytes
    traits: str

    def run(self, at: Sequence[int], context: Context) -> list[Entry]:
        """Read all names with their attributes."""
        del context
        return listing.entries(at[0], self.path, self.traits)

    def received(self, result: Result) -> list[Entry]:
        """The names with their attributes."""
        del self
        return [(name, Attributes(*attributes)) for name, attributes in result.value]


class ListNames(Operation[Content], tag="names", frozen=True):
    """READDIR of many names, separated by slashes; `traits` is a path for tree.directory.

    `space` is the limit of their size in bytes.
    """

    path: bytes
    traits: str
    space: int

    def run(self, at: Sequence[int], context: Context) -> Content:
        """Read all names."""
        del context
        found = listing.names_in(at[0], self.path, self.traits)
        return spool_or_bytes(iter((b"/".join(found),)), self.space)

    def received(self, result: Result) -> Content:
        """The names."""
        del self
        return content_received(result)
