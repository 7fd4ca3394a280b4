"""The indexes at the root of the mirror.

An index has directories in which processes stand by a property, as links to their own directories.

This package is pure. A name alone tells what it means; a `Reading` of /proc as the requester tells
where each process stands. Every well-formed name of a directory exists, so a path can be walked
without a question. Only a link is looked up, by reading its one process. In the trees (`by-exe`,
`by-file`, `by-cgroup`, `by-parent`) the links of a directory are in its `pids/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from procmirror.decoding.view import Each, Machine, Reading
from procmirror.mirror.index import relations
from procmirror.mirror.index.names import is_name
from procmirror.mirror.index.relations import PIDS, Path, Table
from procmirror.mirror.index.used_files import by_file

# The longest path of one call (PATH_MAX, in bytes); longer ones are left out.
_LONGEST = 4096
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Index:
    """One index: one row of the table.

    `survey(reading, machine)` is a walk over all processes, and `filled(found)` makes of its
    results the part of the index that the requester may see. `holds(path, pid, reading, machine)`
    tells whether the link of one process stands in a directory; OSError if the kernel refuses the
    answer. `accepts(path)` tells whether the last name of a directory's path is possible there, in
    a tree whatever is above it. `depth` is how many names lead to the links, 0 for a tree.
    `depends` are the requester's namespaces that it depends on.
    """

    name: str
    layout: str
    content: str
    survey: Callable[[Reading, Machine], Each]
    filled: Callable[[Iterable[Any]], Table]
    holds: Callable[[Path, str, Reading, Machine], bool]
    accepts: Callable[[Path], bool]
    depth: int = 0
    depends: tuple[str, ...] = ()
    # The key of a directory in the table: its whole path; in by-parent the process that it stands
    # for.
    listed_by: Callable[[Path], Path] = tuple

    def place(self, path: Path) -> Path | None:
        """The directory of the process whose link has this path; None if no link has it."""
        if self.depth:
            return path[:-1] if len(path) == self.depth + 1 else None
        return path[:-2] if path[-2:-1] == (PIDS,) else None

    def kind(self, path: Path) -> Literal["directory", "link"] | None:
        """The kind of a path below the index; None if nothing can have that path."""
        place = self.place(path)
        if place is not None:
            return "link" if _NUMBER.fullmatch(path[-1]) and self._is_directory(place) else None
        return "directory" if self._is_directory(self._without_pids(path)) else None

    def _without_pids(self, path: Path) -> Path:
        return path[:-1] if not self.depth and path[-1:] == (PIDS,) else path

    def _is_directory(self, path: Path) -> bool:
        if not self.depth:
            return all(self.accepts((name,)) for name in path)
        return all(self.accepts(path[: at + 1]) for at in range(len(path)))

    def key(self, path: Path) -> str:
        """The key of a directory's names in the table."""
        directory = self._without_pids(path)
        return "/".join((*self.listed_by(directory), *path[len(directory) :]))


def _single(path: Path) -> bool:
    return len(path) == 1 and is_name(path[0])


def _port(path: Path) -> bool:
    if len(path) == 1:
        return path[0] in relations.PROTOCOLS
    return len(path) == 2 and bool(_NUMBER.fullmatch(path[1])) and int(path[1]) < 1 << 16


INDEXES = {
    index.name: index
    for index in (
        Index(
            "by-name",
            "NAME/PID",
            "name, as in comm",
            relations.survey_by(relations.by_name),
            relations.filled,
            relations.holds_by(relations.by_name),
            _single,
            1,
        ),
        Index(
            "by-user",
            "USER/PID",
            "effective user, by name if it has one; its number is found as well",
            relations.survey_by(relations.by_user),
            relations.filled,
            relations.holds_by(relations.by_user),
            _single,
            1,
        ),
        Index(
            "by-exe",
            "PATH/pids/PID",
            "program, by the path in the link exe",
            relations.survey_by(relations.by_exe),
            relations.filled_tree,
            relations.holds_by(relations.by_exe),
            lambda path: is_name(path[-1]) or path[-1] == relations.LEFT_OUT,
        ),
        Index(
            "by-cgroup",
            "PATH/pids/PID",
            "control group of any hierarchy, by its path",
            relations.survey_by(relations.by_cgroup),
            relations.filled_tree,
            relations.holds_by(relations.by_cgroup),
            lambda path: is_name(path[-1], numbers=False) or path[-1] == relations.LEFT_OUT,
            depends=("cgroup",),
        ),
        Index(
            "by-file",
            "PATH/pids/PID",
            "file that it uses, by path: descriptor, cwd, root, exe or mapping",
            relations.survey_by(by_file),
            relations.filled_tree,
            relations.holds_by(by_file),
            lambda path: is_name(path[-1]) or path[-1] == relations.LEFT_OUT,
        ),
        Index(
            "by-port",
            "PROTOCOL/PORT/PID",
            "own port of a socket in your network namespace that it holds; PROTOCOL is tcp, udp or "
            "udplite",
            relations.ports,
            partial(relations.filled, always=relations.PROTOCOLS),
            relations.holds_port,
            _port,
            2,
        ),
        Index(
            "by-parent",
            "PID/…/pids/PID",
            "parent: a directory for each child, and a link to each",
            relations.parents,
            relations.children,
            relations.is_child,
            lambda path: bool(_NUMBER.fullmatch(path[-1])),
            listed_by=lambda path: path[-1:],
        ),
    )
}


def parse(path: bytes) -> tuple[Index, Path, Literal["directory", "link"]] | None:
    """The index, the path below it, and the kind of a path of the mirror.

    None if nothing can have that path.
    """
    if len(path) > _LONGEST:
        return None
    try:
        first, *rest = path.decode().split("/")
    except UnicodeDecodeError:
        return None
    index = INDEXES.get(first)
    kind = index.kind(tuple(rest)) if index else None
    return (index, tuple(rest), kind) if index and kind else None


def target(path: bytes) -> bytes:
    """The text of a link: the path of the process's directory, relative to the link."""
    return b"../" * path.count(b"/") + path.rpartition(b"/")[2]
