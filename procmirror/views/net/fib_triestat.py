"""/proc/net/fib_triestat: size and shape of the tries that hold the IPv4 routes.

Source: fib_triestat_seq_show, net/ipv4/fib_trie.c.

A line about all, then for each table indented lines, of which one counts the inner nodes by the
bits that they decide (`2: 3` is three nodes of four children). CONFIG_IP_FIB_TRIE_STATS adds
counters, `name = number`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.views.net.fib_trie import table_name


class Table(Record, frozen=True):
    """One table."""

    table: Annotated[str, doc("`main`, `local`, or the number of the table")]
    average_depth: Annotated[float, doc("Mean depth of the leaves")]
    max_depth: Annotated[int, doc("Greatest depth")]
    leaves: Annotated[int, doc("Addresses that have routes")]
    prefixes: Annotated[int, doc("Routes")]
    internal_nodes: Annotated[int, doc("Inner nodes")]
    nodes_by_bits: Annotated[
        dict[str, int], doc("Inner nodes by the number of bits that each decides")
    ]
    pointers: Annotated[int, doc("Children the inner nodes have room for")]
    null_ptrs: Annotated[int, doc("Of these, empty")]
    total_size: Annotated[int, doc("Memory of the trie, rounded up to 1024", "bytes")]
    counters: Annotated[
        dict[str, int] | None,
        counted("What searches did; null unless the kernel was built to count"),
    ] = None
    extra: Extra = UNSET


class FibTriestat(Record, frozen=True):
    """The tries of a network namespace."""

    leaf_size: Annotated[int, doc("Size of a leaf", "bytes")]
    tnode_size: Annotated[int, doc("Size of an inner node without its children", "bytes")]
    tables: list[Table]
    extra: Extra = UNSET


# The lines of a table by the words before their colon: the field, and how its value is read.
_LINES = {
    "Aver depth": "average_depth",
    "Max depth": "max_depth",
    "Leaves": "leaves",
    "Prefixes": "prefixes",
    "Internal nodes": "internal_nodes",
    "Pointers": "pointers",
    "Null ptrs": "null_ptrs",
    "Total size": "total_size",
}
_SIZES = re.compile(r"size of leaf: (\d+) bytes, size of tnode: (\d+) bytes")
_NODES = re.compile(r"(\d+): (\d+)")


def decode(raw: bytes, _: Machine) -> FibTriestat:
    """The line about all, then the tables."""
    first, *rest = (decoded(line) for line in lines(raw))
    sizes = _SIZES.search(first)
    if sizes is None:
        raise expected("size of leaf: … bytes, size of tnode: … bytes", first)
    head: list[str] = []
    blocks = [head]
    for line in rest:
        if line.endswith(":") and line != "Counters:":
            blocks.append([])
        blocks[-1].append(line)
    unknown = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in head)
    }
    return FibTriestat(
        int(sizes[1]),
        int(sizes[2]),
        [_table(*block) for block in blocks[1:]],
        unknown or UNSET,
    )


def _table(name: str, *body: str) -> Table:
    found: dict[str, Any] = {"nodes_by_bits": {}}
    searches: dict[str, int] = {}
    unknown: dict[str, str] = {}
    for line in body:
        key, _, value = line.strip().partition(":")
        if key.isdigit():
            found["nodes_by_bits"] = {bits: int(count) for bits, count in _NODES.findall(line)}
        elif key in _LINES:
            found[_LINES[key]] = _value(_LINES[key], value)
        elif "=" in line:
            key, _, value = line.partition("=")
            searches[key.strip()] = int(value)
        elif key.strip("-") and key != "Counters":
            unknown[key] = value.strip()
    return Table(table_name(name), **found, counters=searches or None, extra=unknown or UNSET)


def _value(field: str, value: str) -> float:
    number = value.split(maxsplit=1)[0]
    if field == "average_depth":
        return float(number)
    return int(number) * 1024 if field == "total_size" else int(number)
