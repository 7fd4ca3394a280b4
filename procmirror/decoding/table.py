"""Files of rows: each line is decoded by itself, and its words are columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import AnyStr, Generic, TypeVar

from msgspec import UNSET, UnsetType

from procmirror.decoding.reasons import SURPRISES, LineError, expected, found, reason
from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Incomplete, Undecoded

T = TypeVar("T")
U = TypeVar("U")


class Rows(list[T], Generic[T]):
    """The records of the lines that could be decoded, and the lines that could not."""

    def __init__(self) -> None:
        super().__init__()
        self.undecoded: list[Undecoded] = []

    def only(self, kind: type[U]) -> Rows[U]:
        """The records of a type, with the same lines that could not be decoded."""
        made: Rows[U] = Rows()
        made.extend(one for one in self if isinstance(one, kind))
        made.undecoded = self.undecoded
        return made

    def as_records(self, make: Callable[[T], U]) -> Rows[U]:
        """What `make` makes of each record, with the same lines that could not be decoded."""
        made: Rows[U] = Rows()
        made.extend(map(make, self))
        made.undecoded = self.undecoded
        return made


class Row:
    """The words of one line by the names of their columns.

    Words beyond the names are named by the numbers of their columns, as proc(5) counts them.
    """

    __slots__ = ("_left",)

    def __init__(self, names: Sequence[str], words: Sequence[bytes]) -> None:
        self._left = dict(zip(names, words, strict=False))
        for at in range(len(names), len(words)):
            self._left[str(at + 1)] = words[at]

    def __call__(self, name: str, read: Callable[[bytes], T]) -> T:
        """The value of a column that every kernel has; ValueError without it."""
        if name not in self._left:
            raise ValueError(f"expected a column {name}")
        return read(self._left.pop(name))

    def may(self, name: str, read: Callable[[bytes], T]) -> T | None:
        """The value of a column; None if this kernel does not have it."""
        word = self._left.pop(name, None)
        return None if word is None else read(word)

    def extra(self) -> dict[str, str] | UnsetType:
        """The columns that were not asked for, for a field `extra`."""
        return {name: decoded(word) for name, word in self._left.items()} or UNSET


def matched(pattern: re.Pattern[AnyStr], line: AnyStr, what: str) -> re.Match[AnyStr]:
    """The match of a whole line; ValueError, which names `what` was expected, without a match."""
    match = pattern.fullmatch(line)
    if match is None:
        raise expected(what, line)
    return match


def rows(raw: bytes, make: Callable[[bytes], T], header: int = 0) -> Rows[T]:
    """The record of each line below `header` lines; empty lines are skipped.

    A line that cannot be decoded is kept as text with the reason. LineError if no line can be
    decoded: then it is another kind of file.
    """
    return pieces(enumerate(lines(raw)[header:], header + 1), make)


def paragraphs(raw: bytes, begins: Callable[[bytes], object]) -> Iterator[tuple[int, bytes]]:
    """The pieces of a file with the numbers of their first lines.

    A piece goes from a line for which `begins` is true to the next one. Lines before the first such
    line are a piece too; empty lines are left out.
    """
    number, piece = 1, list[bytes]()
    for at, line in enumerate(lines(raw), 1):
        if begins(line) and piece:
            yield number, b"\n".join(piece)
            piece = []
        if line.strip(b" \t"):
            number = number if piece else at
            piece.append(line)
    if piece:
        yield number, b"\n".join(piece)


def pieces(found: Iterable[tuple[int, bytes]], make: Callable[[bytes], T]) -> Rows[T]:
    """The record of each piece of a file; a piece comes with the number of its first line."""
    made: Rows[T] = Rows()
    for number, piece in found:
        if piece and not piece.isspace():
            try:
                made.append(make(piece))
            except SURPRISES as surprise:
                part = Incomplete(f"line {number}", reason(surprise))
                made.undecoded.append(Undecoded(decoded(piece), [part]))
    if made.undecoded and not made:
        (first,) = made.undecoded[0].incomplete
        raise LineError(int(first.part.removeprefix("line ")), first.reason)
    return made


def columns_of(raw: bytes, first: str, line: int = 0) -> list[str]:
    """The names in a header line, whose number is counted from 0.

    LineError unless it begins with the words of `first`.
    """
    header = [*lines(raw)[line : line + 1], b""][0]
    names = decoded(header).split()
    if names[: len(first.split())] != first.split():
        raise LineError(line + 1, f"expected the header {first} …, found {found(header)}")
    return names


def table(raw: bytes, first: str, make: Callable[[Row], T], names: str = "") -> Rows[T]:
    """The record of each row below a header that begins with the words of `first`.

    `make` gets the words by the names of their columns: those in the header, or `names` if the
    header has blanks in names or lacks some.
    """
    titles = columns_of(raw, first)
    known = names.split() or titles
    return rows(raw, lambda line: make(Row(known, line.split())), 1)


def words(raw: bytes, names: str, make: Callable[[Row], T]) -> T:
    """The record of a file of one line, whose words have these names."""
    return make(Row(names.split(), raw.split()))


def headless(raw: bytes, names: str, make: Callable[[Row], T]) -> Rows[T]:
    """The record of each row of a file without a header, whose words have these names."""
    titles = names.split()
    return rows(raw, lambda line: make(Row(titles, line.split())))
