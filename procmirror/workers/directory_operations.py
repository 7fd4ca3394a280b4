"""What FUSE asks of the directories of /proc."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from procmirror.mirror import listing
from procmirror.mirror.traits import directory
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes, Name
from procmirror.workers.content import Content, content_received
from procmirror.workers.opened import Opened, descriptor_received
from procmirror.workers.operation import Context, Operation
from procmirror.workers.result import Result
from procmirror.workers.spool import spool_or_bytes

# What stands for a type before a name.
_LETTERS = {stat.S_IFDIR: b"d", stat.S_IFLNK: b"l", stat.S_IFREG: b"-", 0: b"?"}
_KINDS = {letter[0]: kind for kind, letter in _LETTERS.items()}


def names_of(content: bytes) -> list[Name]:
    """The names that `ListNames` has read, from its content."""
    return [(one[1:], _KINDS[one[0]]) for one in content.split(b"/")] if content else []


def _received(value: list[Name] | None) -> list[Name] | None:
    """Names that came from a worker, as an array each."""
    return None if value is None else [(name, kind) for name, kind in value]


class ListEntries(Operation[list[Entry]], tag="entries", frozen=True):
    """OPENDIR and READDIR at once; `traits` is a path for traits.directory.

    With `hides` it is the root of a procfs that does not list every process to everybody.
    """

    path: bytes
    traits: str
    hides: bool = False

    def run(self, descriptors: Sequence[int], context: Context) -> list[Entry]:
        """Read all names with their attributes."""
        found = listing.entries(descriptors[0], self.path, self.traits)
        unseen = context.unseen() if self.hides else b""
        return [one for one in found if one[0] != unseen]

    def received(self, result: Result) -> list[Entry]:
        """The names with their attributes."""
        del self
        return [(name, Attributes(*attributes)) for name, attributes in result.value]


class ReadNames(Operation[list[Name] | None], tag="some-names", frozen=True):
    """READDIR of an open directory: its names, or None if procfs has more than `most` there.

    `traits` is a path for traits.directory. With a `most` of 0 nothing is read.
    """

    traits: str
    most: int

    def run(self, descriptors: Sequence[int], context: Context) -> list[Name] | None:
        """Read the names, with those of the views."""
        del context
        found = proc.some_names(descriptors[0], self.most) if self.most else None
        return None if found is None else listing.names(directory(self.traits), found)

    def received(self, result: Result) -> list[Name] | None:
        """The names, or None."""
        del self
        return _received(result.value)


class OpenDir(Operation[Opened[list[Name]]], tag="opendir", frozen=True):
    """OPENDIR of a directory in which names are looked up later; the names as of `ReadNames`."""

    path: bytes
    traits: str
    most: int

    def run(self, descriptors: Sequence[int], context: Context) -> Opened[list[Name]]:
        """Open the directory and read its names."""
        descriptor = proc.open_directory(descriptors[0], self.path)
        try:
            names = ReadNames(self.traits, self.most).run((descriptor,), context)
        except BaseException:
            os.close(descriptor)
            raise
        return Opened(descriptor, names)

    def received(self, result: Result) -> Opened[list[Name]]:
        """The open directory; OSError(EMFILE) if the daemon had no descriptor left for it."""
        del self
        return Opened(descriptor_received(result), _received(result.value))


class ListNames(Operation[Content], tag="names", frozen=True):
    """READDIR of many names, as `names_of` reads them; `traits` is a path for traits.directory.

    `space` is the limit of their size in bytes.
    """

    path: bytes
    traits: str
    space: int

    def run(self, descriptors: Sequence[int], context: Context) -> Content:
        """Read all names."""
        del context
        found = listing.names_in(descriptors[0], self.path, self.traits)
        joined = b"/".join([_LETTERS[kind] + name for name, kind in found])
        return spool_or_bytes(iter((joined,)), self.space)

    def received(self, result: Result) -> Content:
        """The names."""
        del self
        return content_received(result)
