"""The names of a directory of the mirror, and their attributes.

All is read with the rights of the identity that this thread acts as.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from procmirror.mirror import tree
from procmirror.mirror.siblings import Sibling, Siblings
from procmirror.mirror.traits import Directory, directory
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes, Name


def names(traits: Directory, found: Sequence[Name]) -> list[Name]:
    """The names of a directory from those that procfs has: without the hidden, views among them."""
    if not found:
        return []
    siblings = traits.siblings
    shown = [one for one in found if not traits.hides(one[0])] if traits.may_hide else found
    listed = _with_views(siblings, shown) if siblings.sources else list(shown)
    listed += [(sibling.name, stat.S_IFREG) for sibling in siblings.beside(b"")]
    return listed + [(name, stat.S_IFDIR) for name in traits.indexes]


def _with_views(siblings: Siblings, entries: Sequence[Name]) -> list[Name]:
    """Entries, each with the views that are made from it behind it."""
    listed: list[Name] = []
    for entry in entries:
        listed.append(entry)
        if entry[0] in siblings.sources:
            name, kind = entry
            listed += [(one.name, _kind(one, kind)) for one in siblings.beside(name)]
    return listed


def _kind(sibling: Sibling, source: int) -> int:
    """The type of a view, as `tree.view_attributes` has it, from that of its first source."""
    return (
        source
        if not source or (source == stat.S_IFLNK and not sibling.view.place)
        else stat.S_IFREG
    )


class Lookups:
    """The attributes of names in an open directory. A view has those of its entry."""

    def __init__(self, descriptor: int, traits: Directory) -> None:
        self._descriptor = descriptor
        self._traits = traits
        self._last: tuple[bytes, Attributes] | None = None

    def attributes(self, name: bytes) -> Attributes:
        """The attributes of a name; OSError where it has vanished."""
        if name in self._traits.indexes:
            return tree.index_attributes(name, self._of(b""))
        sibling = self._traits.siblings.find(name)
        found = self._of(name if sibling is None else sibling.source)
        return found if sibling is None else tree.view_attributes(sibling, found)

    def _of(self, entry: bytes) -> Attributes:
        if self._last is None or self._last[0] != entry:
            self._last = entry, proc.attributes(self._descriptor, entry)
        return self._last[1]


def listing(descriptor: int, traits: Directory, found: Sequence[str]) -> Iterator[Entry]:
    """Names that were found in an open directory with their attributes, views among them.

    What has vanished is left out.
    """
    lookups = Lookups(descriptor, traits)
    for name, _ in names(traits, [(os.fsencode(name), 0) for name in found]):
        with suppress(OSError):
            yield name, lookups.attributes(name)


def entries(descriptor: int, path: bytes, traits_path: str) -> list[Entry]:
    """The names in a directory with their attributes; it is opened for this."""
    with _opened(descriptor, path) as opened:
        return list(listing(opened, directory(traits_path), os.listdir(opened)))


def names_in(descriptor: int, path: bytes, traits_path: str) -> list[Name]:
    """The names of a directory that is opened for it."""
    with _opened(descriptor, path) as opened:
        return names(directory(traits_path), proc.all_names(opened))


@contextmanager
def _opened(descriptor: int, path: bytes) -> Iterator[int]:
    opened = proc.open_directory(descriptor, path)
    try:
        yield opened
    finally:
        os.close(opened)
