"""/proc/net/fib_trie: the IPv4 routes of all tables, printed as the tries that hold them.

Source: net/ipv4/fib_trie.c.

A table's name stands alone on its line; `+--` is an inner node, which says nothing about routes;
`|--` is an address, and each line below it a route to it: `/length scope type`, with `tos=` where
the route has one. Metric, gateway and device are not shown: routes that differ only in these look
alike and are all listed. `Main` and `Local` are one trie, shown twice, until a routing rule is
added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines
from procmirror.decoding.table import pieces
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Route(Record, frozen=True):
    """One route."""

    table: Annotated[str, doc("`main`, `local`, or the number of the table")]
    prefix: Annotated[str, doc("The network, as address and length of its prefix")]
    scope: Annotated[
        str, doc("`universe`, `site`, `link`, `host` or `nowhere`, else `scope=` and a number")
    ]
    type: Annotated[str, doc("UNICAST, LOCAL, BROADCAST, BLACKHOLE, … (RTN_*)")]
    tos: Annotated[int | None, doc("The type of service that a packet must have; null for any")]
    extra: Extra = UNSET


_TABLE = re.compile(rb"((?:Id )?\w+):")
_ADDRESS = re.compile(rb" +\|-- (\S+)")
_NODE = re.compile(rb" +\+-- ")


def decode(raw: bytes, _: Machine) -> list[Route]:
    """The routes, table after table, in the order of the trie."""
    table = address = ""

    def route(line: bytes) -> Route:
        mark, *words = decoded(line).split()
        if not mark.startswith("/") or not address:
            raise expected("a table, a node or a route", line)
        return _route(table, address + mark, words)

    def others() -> Iterator[tuple[int, bytes]]:
        nonlocal table, address
        for at, line in enumerate(lines(raw), 1):
            if not line[:1].isspace():
                table, address = table_name(decoded(line)), ""
                if not _TABLE.fullmatch(line):
                    yield at, line
            elif match := _ADDRESS.fullmatch(line):
                address = decoded(match[1])
            elif not _NODE.match(line):
                if not line.lstrip().startswith(b"/"):
                    address = ""
                yield at, line

    return pieces(others(), route)


def table_name(line: str) -> str:
    """`main` for `Main:`, `100` for `Id 100:`."""
    return line.removesuffix(":").lower().removeprefix("id ")


def _route(table: str, prefix: str, words: list[str]) -> Route:
    scope, kind, *rest = words
    if kind == "type":  # a type without a name is printed as two words
        kind, *rest = (f"type {rest[0]}", *rest[1:])
    options = dict(word.partition("=")[::2] for word in rest)
    tos = options.pop("tos", None)
    return Route(table, prefix, scope, kind, None if tos is None else int(tos), options or UNSET)


text = listing(
    "TABLE table", "ADDRESS prefix", "TYPE type", "SCOPE scope", none="no IPv4 addresses\n"
)
