"""The views in a directory, as files beside the entries that they are made from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from procmirror.decoding.view import NUMBER, View
from procmirror.views import VIEWS

_BY_NAME = {view.name: view for view in VIEWS}
_NUMBERED = {view.place: view for view in VIEWS if view.entry == NUMBER}
_NAME = re.compile(rb"(0|[1-9][0-9]{0,9})\.([a-z]+)")


class Sibling(NamedTuple):
    """A view in one format: its name in a directory, and that of its first source, if any."""

    view: View
    suffix: str
    name: bytes
    source: bytes


def view_named(name: str) -> View:
    """The view of a name, also of one entry among many (`PID/fdinfo/7`); LookupError if none is."""
    return _BY_NAME.get(name) or _numbered(name)


@lru_cache(256)
def _numbered(name: str) -> View:
    place, _, entry = name.rpartition("/")
    if not entry.isdecimal():
        raise LookupError(name)
    return replace(_NUMBERED[place], name=name)


class Siblings(Mapping[bytes, Sibling]):
    """The views of a directory by their names.

    `named` are those that stand there always. With `numbered` each entry that is a number has this
    view too, in the formats `suffixes`; these are found by their names, and never listed: programs
    take each name in such a directory for a number. What `hides` is not there.
    `sources` are the entries that the listed views are made from first.
    """

    def __init__(
        self,
        named: dict[bytes, Sibling],
        numbered: View | None = None,
        suffixes: tuple[str, ...] = (),
        hides: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._named = named
        self._numbered, self._suffixes, self._hides = numbered, suffixes, hides
        self._beside: dict[bytes, tuple[Sibling, ...]] = {}
        for one in named.values():
            self._beside[one.source] = (*self._beside.get(one.source, ()), one)
        self.sources = frozenset(self._beside) - {b""}

    def __getitem__(self, name: bytes) -> Sibling:
        """The view of a name; KeyError if there is none."""
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def find(self, name: bytes) -> Sibling | None:
        """The view of a name, None if there is none: the question of each LOOKUP."""
        return self._named.get(name) or (self._of_number(name) if self._numbered else None)

    def _of_number(self, name: bytes) -> Sibling | None:
        match = _NAME.fullmatch(name) if self._numbered else None
        if match is None or match[2].decode() not in self._suffixes:
            return None
        return self._made(match[1], match[2].decode())

    def _made(self, number: bytes, suffix: str) -> Sibling | None:
        assert self._numbered is not None
        name = b"%s.%s" % (number, suffix.encode())
        if self._hides(number) or self._hides(name):
            return None
        view = view_named(f"{self._numbered.place}/{number.decode()}")
        return Sibling(view, suffix, name, number)

    def __iter__(self) -> Iterator[bytes]:
        """The names of those that stand there always."""
        return iter(self._named)

    def __len__(self) -> int:
        """How many stand there always."""
        return len(self._named)

    def beside(self, entry: bytes) -> tuple[Sibling, ...]:
        """The listed views that are made from an entry first; of b"", those without one."""
        return self._beside.get(entry, ())
