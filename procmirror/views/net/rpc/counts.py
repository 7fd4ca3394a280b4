"""What the files of /proc/net/rpc have in common: a word, then its numbers (net/sunrpc/stats.c)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Annotated, TypeVar

from procmirror.decoding.shapes import lines, number
from procmirror.decoding.table import Row
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Record, counted

Made = TypeVar("Made")


class Net(Record, frozen=True):
    """The line `net`: what came in. The kernel counts it for servers only."""

    packets: Annotated[int, counted("Packets")]
    udp: Annotated[int, counted("Of them by UDP")]
    tcp: Annotated[int, counted("Of them by TCP")]
    tcp_connections: Annotated[int, counted("Connections by TCP")]


def rows(raw: bytes) -> Row:
    """What follows the first word of each line, under that word.

    Of two lines with the same one, and without any, the whole line.
    """
    found: dict[str, bytes] = {}
    for line in filter(bytes.strip, lines(raw)):
        key, _, rest = line.strip().partition(b" ")
        name = decoded(key)
        found |= {decoded(line): b""} if name in found else {name: rest}
    return Row(tuple(found), tuple(found.values()))


def record(kind: Callable[..., Made]) -> Callable[[bytes], Made]:
    """The reader of a line whose numbers are the fields of a record, each of them."""
    return lambda rest: kind(*numbers(rest))


def numbers(rest: bytes) -> tuple[int, ...]:
    """The numbers of a line."""
    return tuple(map(number, rest.split()))


def procedures(rest: bytes, names: Sequence[str]) -> dict[str, int]:
    """The counts of a `proc` line, whose first number says how many follow."""
    length, *counts = numbers(rest)
    # Where another number of counts is announced than follow, no name of them is sure.
    sure = names[:length] if length == len(counts) else ()
    named = zip_longest(sure, range(len(counts)))
    return {name or str(at): counts[at] for name, at in named}
