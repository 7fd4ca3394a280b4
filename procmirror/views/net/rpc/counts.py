"""What the files of /proc/net/rpc have in common: a word, then its numbers (net/sunrpc/stats.c)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Annotated

from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Record, counted


class Net(Record, frozen=True):
    """The line `net`: what came in. The kernel counts it for servers only."""

    packets: Annotated[int, counted("Packets")]
    udp: Annotated[int, counted("Of them by UDP")]
    tcp: Annotated[int, counted("Of them by TCP")]
    tcp_connections: Annotated[int, counted("Connections by TCP")]


def rows(raw: bytes) -> dict[str, list[bytes]]:
    """The numbers of each line under its first word."""
    return {decoded(key): words for key, *words in map(bytes.split, lines(raw))}


def numbers(words: Sequence[bytes]) -> tuple[int, ...]:
    """Numbers."""
    return tuple(int(word) for word in words)


def procedures(words: Sequence[bytes] | None, names: Sequence[str]) -> dict[str, int] | None:
    """The counts of a `proc` line, whose first number says how many follow.

    Null if there is no such line.
    """
    if words is None:
        return None
    length, *counts = numbers(words)
    # Where another number of counts is announced than follow, no name of them is sure.
    sure = names[:length] if length == len(counts) else ()
    named = zip_longest(sure, range(len(counts)))
    return {name or str(at): counts[at] for name, at in named}
