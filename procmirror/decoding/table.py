"""Files of rows: each line is decoded by itself, and its words are columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import AnyStr, Generic, Self, TypeVar

from msgspec import UNSET, UnsetType

from procmirror.decoding.bounds import check, may_exceed_as_size
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

    def keep(self, number: int, line: bytes, surprise: BaseException) -> None:
        """Keep a line that could not be decoded, with its number and the reason."""
        part = Incomplete(f"line {number}", reason(surprise))
        self.undecoded.append(Undecoded(decoded(line), [part]))

    def settled(self) -> Self:
        """The rows; LineError if there are lines and none could be decoded."""
        if self.undecoded and not self:
            (first,) = self.undecoded[0].incomplete
            raise LineError(int(first.part.removeprefix("line ")), first.reason)
        return self

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
    """The words of one line by the names of their columns, or the lines of a file by their names.

    Words beyond the names are named by the numbers of their columns, as proc(5) counts them.
    """

    __slots__ = ("_failure", "_left", "_read")

    def __init__(self, names: Sequence[str], words: Sequence[bytes]) -> None:
        self._failure: Exception | None = None
        self._read = False
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

    def tried(self, name: str, read: Callable[[bytes], T]) -> T | None:
        """The value of a column; None without it, and for a word of another form.

        That word is left for `extra`. `settle` is to be called in the end.
        """
        try:
            value = read(self._left[name])
        except SURPRISES as surprise:
            self._failure = self._failure or surprise
            return None
        del self._left[name]
        self._read = True
        return value

    def names(self) -> list[str]:
        """The names of what was not read yet."""
        return list(self._left)

    def settle(self) -> None:
        """Raise why a column could not be read, if none could: it is no such line."""
        if self._failure and not self._read:
            raise self._failure

    def extra(self) -> dict[str, str] | UnsetType:
        """The columns that were not asked for or could not be read, for a field `extra`."""
        return {name: decoded(word) for name, word in self._left.items()} or UNSET


def matched(pattern: re.Pattern[AnyStr], line: AnyStr, what: str) -> re.Match[AnyStr]:
    """The match of a whole line; ValueError, which names `what` was expected, without a match."""
    match = pattern.fullmatch(line)
    if match is None:
        raise expected(what, line)
    return match


def rows(
    raw: bytes, make: Callable[[bytes], T], header: int = 0, *, bounded: bool = False
) -> Rows[T]:
    """The record of each line below `header` lines; empty lines are skipped.

    A line that cannot be decoded is kept as text with the reason. LineError if no line can be
    decoded: then it is another kind of file. `bounded` says that `make` takes no number of more
    than 64 bits.
    """
    wide = not bounded and may_exceed_as_size(raw)
    return pieces(enumerate(lines(raw)[header:], header + 1), make, wide=wide)


def paragraphs(
    raw: bytes, begins: Callable[[bytes], object], *, apart: bool = False
) -> Iterator[tuple[int, bytes]]:
    """The pieces of a file with the numbers of their first lines.

    A piece goes from a line for which `begins` is true to the next one, or to an empty line where
    pieces stand `apart`. Lines before the first such line are a piece too; empty lines are left
    out.
    """
    number, piece = 1, list[bytes]()
    for at, line in enumerate(lines(raw), 1):
        if (begins(line) or (apart and not line.strip())) and piece:
            yield number, b"\n".join(piece)
            piece = []
        if line.strip(b" \t"):
            number = number if piece else at
            piece.append(line)
    if piece:
        yield number, b"\n".join(piece)


def pieces(
    found: Iterable[tuple[int, bytes]], make: Callable[[bytes], T], *, wide: bool = True
) -> Rows[T]:
    """The record of each piece of a file; a piece comes with the number of its first line.

    `wide` tells whether a number in it may have more than 64 bits, which no record may have.
    """
    made: Rows[T] = Rows()
    for number, piece in found:
        if piece and not piece.isspace():
            try:
                record = make(piece)
                if wide and may_exceed_as_size(piece):
                    check(record)
                made.append(record)
            except SURPRISES as surprise:
                made.keep(number, piece, surprise)
    return made.settled()


def each(
    found: Iterable[bytes], make: Callable[[bytes], T], first: int = 1
) -> Iterator[T | Undecoded]:
    """The record of each line of a stream, and each line that could not be decoded where it stands.

    `first` is the number of the first line. LineError in the end if no line could be decoded.
    """
    rest = Rows[T]()
    for number, line in enumerate(found, first):
        try:
            record = make(line)
        except SURPRISES as surprise:
            rest.keep(number, line, surprise)
            yield rest.undecoded.pop() if rest else rest.undecoded[-1]
        else:
            rest[:] = [record]
            yield record
    rest.settled()


def sorted_out(rows: Iterable[str], make: Callable[[str], T]) -> tuple[list[T], list[str]]:
    """What is made of each line of a list within a file, and the lines of another form."""
    good: list[T] = []
    odd: list[str] = []
    for row in rows:
        try:
            good.append(make(row))
        except SURPRISES:
            odd.append(row)
    return good, odd


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
    """The record of a file of one line, whose words have these names.

    ValueError if none of them is of its form: then it is another kind of file.
    """
    row = Row(names.split(), raw.split())
    made = make(row)
    row.settle()
    return made


def headless(raw: bytes, names: str, make: Callable[[Row], T]) -> Rows[T]:
    """The record of each row of a file without a header, whose words have these names."""
    titles = names.split()
    return rows(raw, lambda line: make(Row(titles, line.split())))
