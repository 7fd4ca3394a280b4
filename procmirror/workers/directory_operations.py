"""What FUSE asks of the directories of /proc."""

from __future__ import annotations

import os
from collections.abc import Sequence

from procmirror.mirror import listing
from procmirror.mirror.traits import directory
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes
from procmirror.workers.content import Content, content_received
from procmirror.workers.opened import Opened, descriptor_received
from procmirror.workers.operation import Context, Operation
from procmirror.workers.result import Result
from procmirror.workers.spool import spool_or_bytes


class ListEntries(Operation[list[Entry]], tag="entries", frozen=True):
    """OPENDIR and READDIR at once; `traits` is a path for traits.directory.

    With `hides` it is the root of a procfs that does not list every process to everybody.
    """

    path: bytes
    traits: str
    hides: bool = False

    def run(self, at: Sequence[int], context: Context) -> list[Entry]:
        """Read all names with their attributes."""
        found = listing.entries(at[0], self.path, self.traits)
        unseen = context.unseen() if self.hides else b""
        return [one for one in found if one[0] != unseen]

    def received(self, result: Result) -> list[Entry]:
        """The names with their attributes."""
        del self
        return [(name, Attributes(*attributes)) for name, attributes in result.value]


class ReadNames(Operation[list[bytes] | None], tag="some-names", frozen=True):
    """READDIR of an open directory: its names, or None if procfs has more than `most` there.

    `traits` is a path for traits.directory.
    """

    traits: str
    most: int

    def run(self, at: Sequence[int], context: Context) -> list[bytes] | None:
        """Read the names, with those of the views."""
        del context
        found = proc.some_names(at[0], self.most)
        return None if found is None else listing.names(directory(self.traits), found)


class OpenDir(Operation[Opened[list[bytes]]], tag="opendir", frozen=True):
    """OPENDIR of a directory in which names are looked up later; the names as of `ReadNames`."""

    path: bytes
    traits: str
    most: int

    def run(self, at: Sequence[int], context: Context) -> Opened[list[bytes]]:
        """Open the directory and read its names."""
        descriptor = proc.open_directory(at[0], self.path)
        try:
            names = ReadNames(self.traits, self.most).run((descriptor,), context)
        except BaseException:
            os.close(descriptor)
            raise
        return Opened(descriptor, names)

    def received(self, result: Result) -> Opened[list[bytes]]:
        """The open directory; OSError(EMFILE) if the daemon had no descriptor left for it."""
        del self
        return Opened(descriptor_received(result), result.value)


class ListNames(Operation[Content], tag="names", frozen=True):
    """READDIR of many names, separated by slashes; `traits` is a path for traits.directory.

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
