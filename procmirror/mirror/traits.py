"""What is known of each directory before the kernel is asked, with the views and indexes in it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from functools import lru_cache

from procmirror.decoding.view import NUMBER, View
from procmirror.mirror import settings
from procmirror.mirror.index import INDEXES
from procmirror.mirror.places import PLACES, Place, path_below, pattern_of, place_of, view_places
from procmirror.mirror.settings import Settings
from procmirror.mirror.siblings import Sibling, Siblings
from procmirror.views import VIEWS


@dataclass(frozen=True, slots=True, eq=False)
class Directory:
    """What is known of a directory before the kernel is asked.

    `path` has PID and TID for numbers; `pattern` is that of the table of places. `public`: a lookup
    in it does not depend on the requester. `siblings` are the views in it. `indexes`
    are the names in it that are no entries but indexes of processes; `is_index`: whether it is
    an index, or below one, itself.
    """

    path: str
    pattern: str
    place: Place = PLACES[""]
    public: bool = True
    siblings: Siblings = field(default_factory=lambda: Siblings({}))
    indexes: tuple[bytes, ...] = ()
    is_index: bool = False

    @property
    def blocks(self) -> bool:
        """Whether even a lookup in it may wait."""
        return self.place.blocks

    @property
    def depends(self) -> tuple[str, ...]:
        """The requester's namespaces that decide what it contains."""
        return self.place.depends

    @property
    def populous(self) -> bool:
        """Whether a process can have any number of names in it."""
        return self.place.populous

    @property
    def links_wait(self) -> bool:
        """Whether reading a link in it may wait."""
        return self.place.links_wait

    @property
    def at_once(self) -> bool:
        """Whether the kernel gives the content of a file in it to one read from the start only."""
        return self.place.at_once

    def below(self, name: bytes) -> Directory:
        """The traits of a directory in this one.

        In an index, where anything can be a name, they are all the same.
        """
        return self if self.is_index else directory(path_below(self.path, name))

    def has_index(self, name: bytes) -> bool:
        """Whether a name is that of an index or of something in one."""
        return self.is_index or name in self.indexes

    @property
    def may_hide(self) -> bool:
        """Whether any entry may be hidden; what is in an index is judged by its whole path."""
        return settings.hides_any() and not self.is_index

    def hides(self, name: bytes) -> bool:
        """Whether an entry is not to be shown."""
        return self.may_hide and _is_hidden(self.path, self.pattern, name)

    def is_prompt(self, name: bytes) -> bool:
        """Whether an entry can be read without risk of waiting."""
        return name in self.place.prompt

    def waits_for(self, name: bytes, *, written: bool = False) -> str:
        """What an operation on an entry may wait for, or writing to it."""
        return self.place.waits_for(name, written=written)

    def reads_ahead(self, name: bytes) -> bool:
        """Whether the first piece may be read when the file is opened."""
        return self.place.may_read_ahead(name)

    def depends_on(self, name: bytes) -> tuple[str, ...]:
        """The requester's namespaces that decide what an entry says."""
        return self.place.depends_on(name)


def show(chosen: Settings) -> None:
    """Say what the mount of this process shows; what was known of directories is forgotten."""
    settings.settle(chosen)
    directory.cache_clear()
    searched.cache_clear()


def _is_hidden(path: str, pattern: str, name: bytes) -> bool:
    """Whether a name is hidden: by itself, by its path, or by its path in the process."""
    return settings.is_hidden(os.fsdecode(name), path_below(path, name), path_below(pattern, name))


def _siblings(path: str, pattern: str) -> Siblings:
    wanted = view_places(path)
    views = [view for view in VIEWS if view.place in wanted]
    made = [
        Sibling(
            view,
            suffix,
            f"{view.entry.removesuffix('.gz')}.{suffix}".encode(),
            b"" if view.virtual else view.entry.encode(),
        )
        for view in views
        if view.entry != NUMBER and not _is_hidden(path, pattern, view.entry.encode())
        for suffix in _shown(view)
    ]
    named = {one.name: one for one in made if not _is_hidden(path, pattern, one.name)}
    numbered = next((view for view in views if view.entry == NUMBER), None)
    return Siblings(
        named,
        numbered,
        _shown(numbered) if numbered else (),
        lambda name: _is_hidden(path, pattern, name),
    )


def _shown(view: View) -> tuple[str, ...]:
    return tuple(suffix for suffix in view.suffixes if suffix in settings.suffixes())


def _indexes() -> tuple[bytes, ...]:
    """The indexes that stand in the root, as long as any views are shown."""
    return tuple(
        name.encode()
        for name in INDEXES
        if settings.suffixes() and not _is_hidden("", "", name.encode())
    )


@lru_cache(4096)
def directory(path: str) -> Directory:
    """The traits of the directory at `path` (PID and TID for numbers, no slash at the ends)."""
    if path in INDEXES:
        return Directory(path, path, Place(public=False), public=False, is_index=True)
    pattern = pattern_of(path)
    place = place_of(pattern)
    return Directory(
        path,
        pattern,
        place,
        public=place.public,
        siblings=_siblings(path, pattern),
        indexes=() if path else _indexes(),
    )


@lru_cache(1024)
def searched(traits: Directory, mode: int) -> Directory:
    """The traits of a directory of that mode: only one that everybody may search is public."""
    return traits if mode & stat.S_IXOTH or not traits.public else replace(traits, public=False)
