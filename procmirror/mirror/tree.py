"""What the mirror contains.

The entries of /proc and the views beside them, for whoever this thread acts as.

Knows no FUSE. The traits of a directory say what its names are, which siblings stand there, and
whose rights a lookup in it depends on; `perform` carries out one operation, in this process or in a
worker.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cache, lru_cache
from typing import NamedTuple

from procmirror.decode.render import rendered
from procmirror.decode.view import Machine, View
from procmirror.identity.identity import CAP_DAC_READ_SEARCH, CAP_SYS_NICE, CAP_SYS_PTRACE
from procmirror.identity.namespaces import NAMESPACES
from procmirror.mirror.index import INDEXES, parse, target
from procmirror.procfs import proc
from procmirror.procfs.mapped import ProcessSources
from procmirror.procfs.proc import Attributes
from procmirror.procfs.reading import PeerReader, Sources
from procmirror.views import VIEWS

ALL = (*NAMESPACES, "pid")

# Contents that no lock a process can hold for long delays: they are read where the request arrives.
# All others may have to wait for the target's memory or exec locks, for a driver, for rtnl, and go
# to a worker (Documentation/filesystems/proc.rst says nothing of this;
# fs/proc/{array,base,task_mmu}.c do).
_PROMPT = {
    "PID": frozenset(
        b"status statm limits comm oom_score oom_score_adj oom_adj loginuid sessionid uid_map gid_map projid_map setgroups "
        b"sched schedstat coredump_filter arch_status".split()
    ),
    "": frozenset(b"uptime loadavg version cmdline filesystems misc consoles execdomains".split()),
}
# Which of the reader's namespaces decide what a file says (for a view: what its sources say).
_DEPENDS: dict[tuple[str, bytes], tuple[str, ...]] = {
    ("", b"uptime"): ("time",),
    ("", b"stat"): ("time",),
    ("", b"loadavg"): ("pid",),
    ("PID", b"stat"): ("time",),
    ("PID", b"cgroup"): ("cgroup",),
    ("PID", b"cpuset"): ("cgroup",),
    ("PID", b"mountinfo"): ("cgroup",),
    ("sys/kernel", b"pid_max"): ("pid",),
    ("sys/kernel", b"ns_last_pid"): ("pid",),
    ("sys/vm", b"memfd_noexec"): ("pid",),
}
# Which lock of the target a read may wait for: one stuck lock must not keep readers from what needs
# another.
_MEMORY = frozenset(b"cmdline environ smaps smaps_rollup numa_maps mem pagemap ksm_stat".split())
# Contents whose first piece is not read ahead of a READ: endless ones, and those where reading does
# something.
_NEVER_AHEAD = frozenset(
    b"mem pagemap clear_refs kmsg kcore kpagecount kpageflags kpagecgroup sysrq-trigger".split()
)


class Sibling(NamedTuple):
    """A view in one of its formats, as a name in a directory, beside its first source (empty for one that has none)."""

    view: View
    suffix: str
    name: bytes
    source: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Directory:
    """What is known of a directory before anybody asks.

    `public`: a lookup in it does not depend on who looks. `blocks`: even a lookup may wait.
    `depends`: the reader's namespaces that decide what it contains. `bonus`: the capabilities that
    stand for "this is my own" besides CAP_SYS_PTRACE. `indexes`: the names here that are no entries
    but indexes of processes; `is_index`: whether it is one, or below one, itself.
    """

    path: str
    place: str
    public: bool = True
    blocks: bool = False
    depends: tuple[str, ...] = ()
    bonus: int = 0
    siblings: Mapping[bytes, Sibling] = field(default_factory=dict)
    beside: Mapping[bytes, tuple[Sibling, ...]] = field(default_factory=dict)
    prompt: frozenset[bytes] = frozenset()
    indexes: tuple[bytes, ...] = ()
    is_index: bool = False

    def below(self, name: bytes) -> Directory:
        """The traits of a directory in this one.

        In an index, where anything can be a name, they are all the same.
        """
        return self if self.is_index else directory(_path_below(self.path, name))

    def has_signpost(self, name: bytes) -> bool:
        """Whether a name is that of an index or of something in one."""
        return self.is_index or name in self.indexes

    def hides(self, name: bytes) -> bool:
        """Whether an entry is not to be shown; what is in an index is judged by its whole path."""
        return not self.is_index and _is_hidden(self.path, self.place, name)

    def is_prompt(self, name: bytes) -> bool:
        """Whether an entry can be read without risk of waiting."""
        return name in self.prompt

    def waits_for(self, name: bytes, *, written: bool = False) -> str:
        """The kind of wait an operation on an entry risks, or writing to it."""
        memory = (
            name in _MEMORY or self.place == "PID/map_files" or (written and name == b"clear_refs")
        )
        return "memory" if memory else "exec"

    def reads_ahead(self, name: bytes) -> bool:
        """Whether the first piece may be read when the file is opened."""
        return name not in _NEVER_AHEAD and not self.place.startswith("sys")

    def depends_on(self, name: bytes) -> tuple[str, ...]:
        """The reader's namespaces that decide what an entry says."""
        return _DEPENDS.get((self.place, name), self.depends)


def _path_below(path: str, name: bytes) -> str:
    if not path:
        return "PID" if name.isdigit() else os.fsdecode(name)
    if path == "PID/task" and name.isdigit():
        return "PID/task/TID"
    return f"{path}/{os.fsdecode(name)}"


class Formats(NamedTuple):
    """What the mount shows.

    Views in which formats, and neither entries nor views whose path or name matches a hidden glob.

    With `stamped`, the records of streams say where and when they were made.
    """

    suffixes: frozenset[str] = frozenset({"txt", "json", "ndjson"})
    hidden: tuple[str, ...] = ()
    stamped: bool = False


# Chosen before the first directory is looked at.
formats = Formats()


@cache
def _matcher(globs: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(translate, globs))).match


def is_hidden(*written: str) -> bool:
    """Whether a name is hidden, in any of the ways to write it."""
    return bool(formats.hidden) and any(map(_matcher(formats.hidden), written))


def _is_hidden(path: str, place: str, name: bytes) -> bool:
    """Whether a name is hidden in a directory, by itself, by its path, or by its path in the process the thread is of."""
    return bool(formats.hidden) and is_hidden(
        os.fsdecode(name), _path_below(path, name), _path_below(place, name)
    )


def _siblings(path: str, place: str, places: Iterable[str]) -> dict[bytes, Sibling]:
    wanted = set(places)
    made = [
        Sibling(
            view,
            suffix,
            f"{view.entry.removesuffix('.gz')}.{suffix}".encode(),
            b"" if view.virtual else view.entry.encode(),
        )
        for view in VIEWS
        if view.place in wanted and not _is_hidden(path, place, view.entry.encode())
        for suffix in view.suffixes
        if suffix in formats.suffixes
    ]
    return {sibling.name: sibling for sibling in made if not _is_hidden(path, place, sibling.name)}


def _indexes() -> tuple[bytes, ...]:
    """The indexes that stand in the root, as long as any views are shown."""
    return tuple(
        name.encode()
        for name in INDEXES
        if formats.suffixes and not _is_hidden("", "", name.encode())
    )


@lru_cache(4096)
def directory(path: str) -> Directory:
    """The traits of the directory at `path` (PID and TID for numbers, no slash at the ends)."""
    if path in INDEXES:
        return Directory(path, path, public=False, is_index=True)
    place = path
    views: tuple[str, ...] = (path,)
    if path == "PID/task/TID":
        place, views = "PID", ("PID", "PID/task/TID")
    elif path.startswith("PID/task/TID/"):
        place = "PID" + path[12:]
        views = (place,)
    if place == "PID/net" or place.startswith("PID/net/"):
        place = place[4:]
        views = (place,)
    siblings = _siblings(path, place, views)
    beside: dict[bytes, tuple[Sibling, ...]] = {}
    for sibling in siblings.values():
        beside[sibling.source] = (*beside.get(sibling.source, ()), sibling)
    private = place in {"PID/fd", "PID/fdinfo", "PID/map_files", "sys"} or place.startswith("sys/")
    if place == "sys" or place.startswith("sys/"):
        depends: tuple[str, ...] = ("net", "uts", "ipc")
    else:
        depends = ("ipc", "pid") if place == "sysvipc" else ()
    return Directory(
        path,
        place,
        public=not private,
        blocks=place == "PID/map_files" or (place + "/").startswith(("fs/", "sys/fs/")),
        depends=depends,
        bonus=CAP_DAC_READ_SEARCH if place in {"PID/fd", "PID/map_files"} else 0,
        siblings=siblings,
        beside=beside,
        prompt=_PROMPT.get(place, frozenset()),
        indexes=() if path else _indexes(),
    )


@lru_cache(1024)
def searched(traits: Directory, mode: int) -> Directory:
    """The traits of a directory of that mode: only one that everybody may search is public."""
    return traits if mode & stat.S_IXOTH or not traits.public else replace(traits, public=False)


def bonus(traits: Directory, name: bytes) -> int:
    """What an operation on an entry of one's own process adds, because the kernel asks no question there."""
    extra = (
        CAP_DAC_READ_SEARCH
        if traits.place == "PID" and name in {b"fd", b"map_files"}
        else traits.bonus
    )
    return CAP_SYS_PTRACE | extra | (CAP_SYS_NICE if name == b"timerslack_ns" else 0)


_GOOD_READ = 1 << 17
_NOTHING = Attributes(0, 0, 1, 0, 0, 0, 0, _GOOD_READ, 0, 0, 0)


def of_view(sibling: Sibling, source: Attributes | None) -> Attributes:
    """The attributes of a view from those of its first source.

    The same, but for a size that nobody knows before opening.

    And for the size of a good read, as which procfs names 1024 bytes: what reads through a buffer
    of that size (stdio, Python's open) would ask a hundred times for what it gets at once.
    """
    view, found = sibling.view, source or _NOTHING
    mode, nlink, uid, gid = found.mode, found.nlink, found.uid, found.gid
    if source is None or view.virtual:
        mode, nlink, uid, gid = stat.S_IFREG | 0o444, 1, 0, 0
    elif stat.S_ISDIR(mode):
        mode, nlink = stat.S_IFREG | mode & 0o444, 1
    elif stat.S_ISLNK(mode) and view.place:
        # A link of the root leads to the requester's own directory, and so does its view;
        # fs/xfs/stat leads to /sys.
        mode = stat.S_IFREG | 0o444
    return Attributes(
        mode, found.inode, nlink, uid, gid, 0, 0, _GOOD_READ, found.atime, found.mtime, found.ctime
    )


def of_signpost(path: bytes, root: Attributes) -> Attributes:
    """The attributes of an index, a directory in it or a link.

    Root's, the times those of the root directory.

    One link tells nothing: a directory whose links are not counted.
    """
    own = root._replace(nlink=1, uid=0, gid=0, size=0, blocks=0)
    found = parse(path)
    if found and found[2] == "link":
        return own._replace(mode=stat.S_IFLNK | 0o777, size=len(target(path)))
    return own._replace(mode=stat.S_IFDIR | 0o555)


Entry = tuple[bytes, Attributes]


# The attributes of an entry that nobody needs to look at again.
KNOWN = Attributes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def listing(
    directory_descriptor: int,
    traits: Directory,
    found: Sequence[str],
    is_known: Callable[[bytes], bool] = lambda _: False,
) -> Iterator[Entry]:
    """Names that were found in an open directory with their attributes, views among them.

    What has vanished is left out.

    An entry that is known, and its views, are not looked at: their attributes are KNOWN.
    """
    for name in map(os.fsencode, found):
        if traits.hides(name):
            continue
        if is_known(name):
            yield name, KNOWN
            for sibling in traits.beside.get(name, ()):
                yield sibling.name, KNOWN
            continue
        try:
            attributes = proc.attributes(directory_descriptor, name)
        except OSError:
            continue
        yield name, attributes
        for sibling in traits.beside.get(name, ()):
            yield sibling.name, of_view(sibling, attributes)
    if found and (b"" in traits.beside or traits.indexes):
        own = proc.attributes(directory_descriptor, b"")
        for sibling in traits.beside.get(b"", ()):
            yield sibling.name, of_view(sibling, own)
        for name in traits.indexes:
            yield name, of_signpost(name, own)


def entries(descriptor: int, path: bytes, traits_path: str) -> list[Entry]:
    """The same of a directory that is opened for it."""
    opened = proc.open_directory(descriptor, path)
    try:
        return list(listing(opened, directory(traits_path), os.listdir(opened)))
    finally:
        os.close(opened)


class Snapshot(NamedTuple):
    """What a view needs besides its directory.

    `view` and `suffix` name the view and its format, `machine` holds the facts for decoding. `myself`
    is the requester's number in the procfs `root`, `peer` reads about this process, and `own` is a
    procfs in which this process is `self`.
    """

    view: str
    suffix: str
    machine: Machine
    myself: bytes | None
    peer: PeerReader | None
    root: int
    own: int


_BY_NAME = {view.name: view for view in VIEWS}


def _sources(
    view: View, descriptor: int, path: bytes, wanted: Snapshot, progress: Callable[[], None]
) -> Sources:
    if view.join and view.place.startswith("PID"):
        return ProcessSources(descriptor, path, wanted.myself, progress, wanted.root, wanted.own)
    return Sources(descriptor, path, wanted.myself, None if view.place else wanted.peer, progress)


def snapshot(
    descriptor: int, path: bytes, wanted: Snapshot, progress: Callable[[], None]
) -> Generator[bytes, None, None]:
    """The content of a view, in pieces.

    OSError as the kernel's, DecodeError for what does not decode.
    """
    view = _BY_NAME[wanted.view]
    sources = _sources(view, descriptor, path, wanted, progress)
    try:
        record = view.of(sources, wanted.machine)
        walk = sources.each if wanted.peer else iter
        for piece in rendered(view, wanted.suffix, record, wanted.machine, walk):
            progress()
            yield piece
    finally:
        sources.close()
