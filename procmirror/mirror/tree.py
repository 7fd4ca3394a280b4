"""What the mirror contains: the entries of /proc, and the views and indexes beside them.

All is read with the rights of the identity that this thread acts as. It does not know FUSE.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cache, lru_cache
from typing import NamedTuple

from procmirror.decoding.render import rendered
from procmirror.decoding.view import NUMBER, Machine, View
from procmirror.identity.namespaces import NAMESPACES
from procmirror.mirror.index import INDEXES, parse, target
from procmirror.mirror.places import (
    PLACES,
    Place,
    is_of_process,
    path_below,
    pattern_of,
    place_of,
    view_places,
)
from procmirror.mirror.siblings import Sibling, Siblings, view_named
from procmirror.procfs.mapped import AS_IT_IS, ProcessSources, Rights
from procmirror.procfs.proc import Attributes
from procmirror.procfs.read_note import NoNote, ReadNote, Reads, waits_likewise
from procmirror.procfs.reading import PeerReader, Sources
from procmirror.stack.process import Process
from procmirror.stack.user_side import Parser
from procmirror.views import VIEWS

ALL = (*NAMESPACES, "pid")


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
        """The requester's namespaces on which its content depends."""
        return self.place.depends

    def below(self, name: bytes) -> Directory:
        """The traits of a directory in this one.

        In an index they are all the same, because anything can be a name there.
        """
        return self if self.is_index else directory(path_below(self.path, name))

    def has_index(self, name: bytes) -> bool:
        """Whether a name is that of an index or of something in one."""
        return self.is_index or name in self.indexes

    def hides(self, name: bytes) -> bool:
        """Whether an entry is hidden; a path in an index is judged as a whole elsewhere."""
        return not self.is_index and _is_hidden(self.path, self.pattern, name)

    def is_prompt(self, name: bytes) -> bool:
        """Whether an entry can be read without a risk of waiting."""
        return name in self.place.prompt

    def waits_for(self, name: bytes, *, written: bool = False) -> str:
        """The lock that reading or writing an entry may wait for."""
        return self.place.waits_for(name, written=written)

    def reads_ahead(self, name: bytes) -> bool:
        """Whether the first piece of a file may be read at OPEN."""
        return self.place.may_read_ahead(name)

    def depends_on(self, name: bytes) -> tuple[str, ...]:
        """The requester's namespaces on which an entry depends."""
        return self.place.depends_on(name)


class Formats(NamedTuple):
    """What the mount shows.

    It shows views in these formats, and neither entries nor views whose path or name matches a
    hidden glob.

    With `stamped`, the records of streams begin with host, boot id and time.
    """

    suffixes: frozenset[str] = frozenset({"txt", "json", "ndjson"})
    hidden: tuple[str, ...] = ()
    stamped: bool = False


class _Shown:
    """The only state of this module: what the mount of this process shows."""

    formats = Formats()


def show(formats: Formats) -> None:
    """Set what the mount of this process shows; cached traits of directories are dropped."""
    _Shown.formats = formats
    directory.cache_clear()
    searched.cache_clear()


def is_stamped() -> bool:
    """Whether records of streams begin with host, boot id and time."""
    return _Shown.formats.stamped


@cache
def _matcher(globs: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(translate, globs))).match


def is_hidden(*written: str) -> bool:
    """Whether a name is hidden in any of its written forms."""
    return bool(_Shown.formats.hidden) and any(map(_matcher(_Shown.formats.hidden), written))


def _is_hidden(path: str, pattern: str, name: bytes) -> bool:
    """Whether a name is hidden: by itself, by its path, or by its path in the process."""
    return bool(_Shown.formats.hidden) and is_hidden(
        os.fsdecode(name), path_below(path, name), path_below(pattern, name)
    )


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
    return tuple(suffix for suffix in view.suffixes if suffix in _Shown.formats.suffixes)


def _indexes() -> tuple[bytes, ...]:
    """The indexes in the root; none if no views are shown."""
    return tuple(
        name.encode()
        for name in INDEXES
        if _Shown.formats.suffixes and not _is_hidden("", "", name.encode())
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
    """The traits of a directory with that mode: only one that everybody may search is public."""
    return traits if mode & stat.S_IXOTH or not traits.public else replace(traits, public=False)


_GOOD_READ = 1 << 17
_NOTHING = Attributes(0, 0, 1, 0, 0, 0, 0, _GOOD_READ, 0, 0, 0)


def view_attributes(sibling: Sibling, source: Attributes | None) -> Attributes:
    """The attributes of a view, from those of its first source.

    They are the same except for the size, which is unknown before OPEN.

    The preferred read size differs too. Procfs gives 1024 bytes: programs that read through a
    buffer of that size (stdio, Python's open) would send a hundred requests for what one brings.
    """
    view, found = sibling.view, source or _NOTHING
    mode, nlink, uid, gid = found.mode, found.nlink, found.uid, found.gid
    if source is None or view.virtual:
        mode, nlink, uid, gid = stat.S_IFREG | 0o444, 1, 0, 0
    elif stat.S_ISDIR(mode):
        mode, nlink = stat.S_IFREG | mode & 0o444, 1
    elif stat.S_ISLNK(mode) and view.place:
        # A link of the root leads to the requester's own directory, so its view does too;
        # fs/xfs/stat leads to /sys.
        mode = stat.S_IFREG | 0o444
    return Attributes(
        mode, found.inode, nlink, uid, gid, 0, 0, _GOOD_READ, found.atime, found.mtime, found.ctime
    )


def index_attributes(path: bytes, root: Attributes) -> Attributes:
    """The attributes of an index, of a directory in it, or of a link.

    It belongs to root, with the times of the root directory.

    A link count of 1 means that links are not counted.
    """
    own = root._replace(nlink=1, uid=0, gid=0, size=0, blocks=0)
    found = parse(path)
    if found and found[2] == "link":
        return own._replace(mode=stat.S_IFLNK | 0o777, size=len(target(path)))
    return own._replace(mode=stat.S_IFDIR | 0o555)


Entry = tuple[bytes, Attributes]


# The attributes of an entry that need not be looked at again.
KNOWN = Attributes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Snapshot(NamedTuple):
    """What a view needs besides its directory.

    `view` and `suffix` name the view and its format, `machine` holds the facts for decoding.
    `myself` is the requester's number in the procfs `root`, `peer` reads about this process, and
    `own` is a procfs in which this process is `self`. `rights` are the requester's where this
    thread's are others. `note` tells the daemon what is read at the moment; the sources at
    `left_out` are not to be read. `parser` makes what parses programs for this process
    (procfs.mapped).
    """

    view: str
    suffix: str
    machine: Machine
    myself: bytes | None
    peer: PeerReader | None
    root: int
    own: int
    rights: Rights = AS_IT_IS
    note: ReadNote | NoNote = NoNote()
    left_out: tuple[str, ...] = ()
    parser: Callable[[Process], Parser] | None = None


def is_joined(name: str) -> bool:
    """Whether a view is made from more than one file; LookupError if there is no such view."""
    return view_named(name).join is not None


def _sources(
    view: View, descriptor: int, path: bytes, wanted: Snapshot, progress: Callable[[], None]
) -> Sources:
    if view.join and is_of_process(view.place):
        sources = ProcessSources(
            descriptor,
            path,
            wanted.myself,
            progress,
            wanted.root,
            wanted.own,
            rights=wanted.rights,
            reads=Reads(wanted.note, frozenset().union(*map(waits_likewise, wanted.left_out))),
        )
        sources.parser = wanted.parser
        return sources
    peer = None if view.place else wanted.peer
    reads = Reads(wanted.note, frozenset(wanted.left_out))
    return Sources(descriptor, path, wanted.myself, peer, progress, reads)


def snapshot(
    descriptor: int, path: bytes, wanted: Snapshot, progress: Callable[[], None]
) -> Generator[bytes, None, None]:
    """The content of a view, in pieces.

    OSError as the kernel raises it, DecodeError for a source that does not decode.
    """
    view = view_named(wanted.view)
    sources = _sources(view, descriptor, path, wanted, progress)
    try:
        record = view.of(sources, wanted.machine)
        walk = sources.each if wanted.peer else iter
        for piece in rendered(view, wanted.suffix, record, wanted.machine, walk):
            progress()
            yield piece
    finally:
        sources.close()
