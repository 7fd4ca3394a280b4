"""Where the paths and the patterns of `--print` lead in a procfs and its indexes."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from difflib import get_close_matches
from fnmatch import fnmatchcase

from procmirror.identity.errors import error
from procmirror.mirror import index_query
from procmirror.mirror.index import INDEXES, parse
from procmirror.mirror.index.relations import Table
from procmirror.mirror.places import NEVER_READ_AHEAD
from procmirror.mirror.snapshot import Snapshot
from procmirror.mirror.traits import Directory, directory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# How like a name another is that is suggested for it: two letters may have changed places in `tpc`.
_CLOSE = 0.65
_GLOB = re.compile(r"[*?[]")
# Links of the root to a directory that stands there by its number too: no pattern matches them, so
# that no process comes twice.
_TWICE = {"self", "thread-self"}


class Lookup:
    """Names below a procfs; `asked` makes what an index needs to be asked for."""

    def __init__(self, root: int, asked: Callable[[str], Snapshot]) -> None:
        self._root = root
        self._asked = asked
        self._tables: dict[str, Table] = {}

    def forget(self) -> None:
        """Forget what the indexes list."""
        self._tables.clear()

    def led(self, names: list[str]) -> list[str]:
        """The names with the process itself in the place of its link in an index.

        Raises OSError for what is no process in an index: EISDIR for a directory, else ENOENT.
        """
        if not names or names[0] not in INDEXES:
            return names
        for end in range(2, len(names) + 1):
            path = os.fsencode("/".join(names[:end]))
            found = parse(path)
            if found and found[2] == "link":
                if index_query.link_exists(path, self._asked(names[0]), _nothing):
                    return names[end - 1 :]
                break
        raise error(errno.EISDIR if self._is_listed(names) else errno.ENOENT)

    def _is_listed(self, names: list[str]) -> bool:
        """Whether names lead to a directory of an index; that of nobody is not there."""
        return len(names) == 1 or bool(self._in_index(names))

    def followed(self, names: list[str]) -> list[str]:
        """The names on the way, without the links of the root: `self`, `net`, `mounts.json`."""
        sibling = directory("").siblings.get(os.fsencode(names[0])) if len(names) == 1 else None
        try:
            target = os.readlink(
                sibling.view.entry if sibling else names[0] if names else ".", dir_fd=self._root
            )
        except OSError:
            return names
        followed = f"{target}.{sibling.suffix}" if sibling else target
        return self.followed([*followed.split("/"), *names[1:]])

    def traits(self, names: list[str]) -> Directory:
        """What is known of a directory, the links of the root followed."""
        traits = directory("")
        for name in self.followed(names):
            traits = traits.below(os.fsencode(name))
        return traits

    def matching(self, names: list[str]) -> list[list[str]]:
        """What can be printed at the places that a pattern matches, numbers in their order.

        `*`, `?` and `[…]` match within a name, as in glob(7). Directories, and files whose reading
        has no end or changes something, are matched by no pattern.
        """
        places: list[list[str]] = [[]]
        for name in names:
            places = [[*place, one] for place in places for one in self._matching(place, name)]
        return [place for place in places if self._is_file(place)]

    def _matching(self, place: list[str], name: str) -> list[str]:
        if not _GLOB.search(name):
            return [name]
        known = [one for one in self.names(place) if place or one not in _TWICE]
        found = [one for one in known if fnmatchcase(one, name)]
        return sorted(found, key=lambda one: (not one.isdigit(), one.isdigit() and int(one), one))

    def names(self, place: list[str]) -> list[str]:
        """What stands in a directory: entries, views and indexes; nothing in what is none.

        Links below the root are not followed: nothing outside of the procfs is listed.
        """
        try:
            return self._names(place)
        except OSError:
            return []

    def _names(self, place: list[str]) -> list[str]:
        if place and place[0] in INDEXES:
            listed = self._in_index(place)
            if listed is not None:
                return listed
        led = self.led(place)
        traits = self.traits(led)
        opened = os.open("/".join(self.followed(led)) or ".", _DIRECTORY, dir_fd=self._root)
        try:
            found = os.listdir(opened)
        finally:
            os.close(opened)
        siblings = [
            os.fsdecode(one.name)
            for source in ("", *found)
            for one in traits.siblings.beside(os.fsencode(source))
        ]
        return [*found, *siblings, *map(os.fsdecode, traits.indexes)]

    def _in_index(self, place: list[str]) -> list[str] | None:
        """The names in a directory of an index, None for what is none."""
        found = parse(os.fsencode("/".join(place)))
        if not found or found[2] != "directory":
            return None
        index, path, _ = found
        if index.name not in self._tables:
            self._tables[index.name] = index_query.table(self._asked(index.name), _nothing)
        return self._tables[index.name].get(index.key(path), [])

    def _is_file(self, place: list[str]) -> bool:
        try:
            *above, name = self.followed(self.led(place))
            sibling = self.traits(above).siblings.get(os.fsencode(name))
            path = "/".join([*above, os.fsdecode(sibling.source) if sibling else name])
            found = os.stat(path or ".", dir_fd=self._root, follow_symlinks=sibling is None)
        except (OSError, ValueError):
            return False
        ends = stat.S_ISREG(found.st_mode) and os.fsencode(name) not in NEVER_READ_AHEAD
        return sibling is not None or ends

    def similar(self, names: list[str]) -> str:
        """The path whose names resemble these most, one after the other, or "".

        Numbers are not guessed. A pattern leads on by the first that it matches, and stays.
        """
        place: list[str] = []
        meant: list[str] = []
        for name in names:
            matched = self._matching(place, name)
            if is_pattern(name) or name.isdigit() or name in self.names(place):
                close = name
            else:
                matched = _resembling(name, self.names(place))
                close = "".join(matched)
            if not matched:
                return ""
            place, meant = [*place, matched[0]], [*meant, close]
        return "/".join(meant) if meant != names else ""


def _resembling(name: str, known: list[str]) -> list[str]:
    """The known name that resembles this one most, if any; equal formats alone are no likeness."""
    stem, dot, suffix = name.rpartition(".")
    alike = {one[: -len(dot + suffix)]: one for one in known if dot and one.endswith(dot + suffix)}
    found = [alike[one] for one in get_close_matches(stem, alike, 1, _CLOSE)]
    others = [one for one in known if one not in alike.values()]
    return found or get_close_matches(name, others, 1, _CLOSE)


def is_pattern(path: str) -> bool:
    """Whether a path has a character that makes a pattern of it."""
    return bool(_GLOB.search(path))


def _nothing() -> None:
    """Report no progress: nothing waits for this."""
