"""The names of a directory of the mirror, and their attributes.

All is read with the rights of the identity that this thread acts as.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from procmirror.mirror import tree
from procmirror.mirror.traits import Directory, directory
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes


def names(traits: Directory, found: Sequence[str]) -> list[bytes]:
    """The names of a directory from those that procfs has: without the hidden, views among them."""
    listed: list[bytes] = []
    for name in map(os.fsencode, found):
        if not traits.hides(name):
            listed.append(name)
            if beside := traits.siblings.beside(name):
                listed += [sibling.name for sibling in beside]
    if found:
        listed += [sibling.name for sibling in traits.siblings.beside(b"")]
        listed += traits.indexes
    return listed


class Lookups:
    """The attributes of names in an open directory. A view has those of its entry.

    An entry that `is_known`, and its views, are not looked at: their attributes are KNOWN.
    """

    def __init__(
        self,
        descriptor: int,
        traits: Directory,
        is_known: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._descriptor = descriptor
        self._traits = traits
        self._is_known = is_known
        self._last: tuple[bytes, Attributes] | None = None

    def attributes(self, name: bytes) -> Attributes:
        """The attributes of a name; OSError where it has vanished."""
        if name in self._traits.indexes:
            return tree.index_attributes(name, self._of(b""))
        sibling = self._traits.siblings.find(name)
        source = name if sibling is None else sibling.source
        if source and self._is_known(source):
            return tree.KNOWN
        found = self._of(source)
        return found if sibling is None else tree.view_attributes(sibling, found)

    def _of(self, entry: bytes) -> Attributes:
        if self._last is None or self._last[0] != entry:
            self._last = entry, proc.attributes(self._descriptor, entry)
        return self._last[1]


def listing(
    descriptor: int,
    traits: Directory,
    found: Sequence[str],
    is_known: Callable[[bytes], bool] = lambda _: False,
) -> Iterator[Entry]:
    """Names that were found in an open directory with their attributes, views among them.

    What has vanished is left out.
    """
    lookups = Lookups(descriptor, traits, is_known)
    for name in names(traits, found):
        with suppress(OSError):
            yield name, lookups.attributes(name)


def entries(descriptor: int, path: bytes, traits_path: str) -> list[Entry]:
    """The names in a directory with their attributes; it is opened for this."""
    with _opened(descriptor, path) as opened:
        return list(listing(opened, directory(traits_path), os.listdir(opened)))


def names_in(descriptor: int, path: bytes, traits_path: str) -> list[bytes]:
    """The names of a directory that is opened for it."""
    with _opened(descriptor, path) as opened:
        return names(directory(traits_path), os.listdir(opened))


@contextmanager
def _opened(descriptor: int, path: bytes) -> Iterator[int]:
    opened = proc.open_directory(descriptor, path)
    try:
        yield opened
    finally:
        os.close(opened)
