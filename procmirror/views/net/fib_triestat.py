"""/proc/net/fib_triestat: size and shape of the tries that hold the IPv4 routes.

Source: fib_triestat_seq_show, net/ipv4/fib_trie.c.

A line about all, then for each table indented lines, of which one counts the inner nodes by the
bits that they decide (`2: 3` is three nodes of four children). CONFIG_IP_FIB_TRIE_STATS adds
counters, `name = number`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import UNSET, field

from procmirror.decoding.reasons import SURPRISES, expected
from procmirror.decoding.shapes import decimal, lines, number, scaled
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.views.net.fib_trie import table_name


class Table(Record, frozen=True):
    """One table."""

    table: Annotated[str, doc("`main`, `local`, or the number of the table")]
    average_depth: Annotated[float | None, doc("Mean depth of the leaves")] = None
    max_depth: Annotated[int | None, doc("Greatest depth")] = None
    leaves: Annotated[int | None, doc("Addresses that have routes")] = None
    prefixes: Annotated[int | None, doc("Routes")] = None
    internal_nodes: Annotated[int | None, doc("Inner nodes")] = None
    nodes_by_bits: Annotated[
        dict[str, int], doc("Inner nodes by the number of bits that each decides")
    ] = field(default_factory=dict)
    pointers: Annotated[int | None, doc("Children the inner nodes have room for")] = None
    null_ptrs: Annotated[int | None, doc("Of these, empty")] = None
    total_size: Annotated[int | None, doc("Memory of the trie, rounded up to 1024", "bytes")] = None
    counters: Annotated[
        dict[str, int] | None,
        counted("What searches did; null unless the kernel was built to count"),
    ] = None
    extra: Extra = UNSET


class FibTriestat(Record, frozen=True):
    """The tries of a network namespace."""

    leaf_size: Annotated[int | None, doc("Size of a leaf", "bytes")]
    tnode_size: Annotated[int | None, doc("Size of an inner node without its children", "bytes")]
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
# The name of a table, also one of another form, and what is none of one or two words.
_BEGINS = re.compile(r"[^\s:]+(?: [^\s:]+)?:?")
_INSIDE = re.compile(r"Counters:|-+|.*=.*")
_SIZES = re.compile(r"size of leaf: (\d{1,19}) bytes, size of tnode: (\d{1,19}) bytes")
_NODES = re.compile(r"(\d+): (\d+)")
_ALL_NODES = re.compile(r"\s*\d+: \d+(?:\s+\d+: \d+)*\s*")


def decode(raw: bytes, _: Machine) -> FibTriestat:
    """The line about all, then the tables."""
    head: list[str] = []
    blocks = [head]
    for line in map(decoded, lines(raw)):
        if blocks[0] and _BEGINS.fullmatch(line) and not _INSIDE.fullmatch(line):
            blocks.append([])
        blocks[-1].append(line)
    sizes = _SIZES.search(head[0]) if head else None
    if sizes is None and len(blocks) == 1:
        raise expected("size of leaf: … bytes, size of tnode: … bytes", raw)
    unknown = [line.partition(":") for line in (head[1:] if sizes else head)]
    return FibTriestat(
        int(sizes[1]) if sizes else None,
        int(sizes[2]) if sizes else None,
        [_table(*block) for block in blocks[1:]],
        {key.strip(): value.strip() for key, _colon, value in unknown} or UNSET,
    )


def _table(name: str, *body: str) -> Table:
    found: dict[str, Any] = {}
    searches: dict[str, int] = {}
    unknown: dict[str, str] = {}
    for line in body:
        key, _, value = line.strip().partition(":")
        try:
            if key.isdigit():
                found["nodes_by_bits"] = _nodes(line)
            elif "=" in line:
                searches |= _search(line)
            elif key.strip("-") and key != "Counters":
                found[_LINES[key]] = _value(_LINES[key], value)
        except SURPRISES:
            unknown[_LINES.get(key) or key] = value.strip()
    return Table(table_name(name), **found, counters=searches or None, extra=unknown or UNSET)


def _nodes(line: str) -> dict[str, int]:
    if not _ALL_NODES.fullmatch(line):
        raise expected("BITS: NODES …", line)
    return {bits: number(count) for bits, count in _NODES.findall(line)}


def _search(line: str) -> dict[str, int]:
    name, _, value = line.partition("=")
    return {name.strip(): number(value)}


def _value(name: str, value: str) -> float:
    word = value.split(maxsplit=1)[0]
    if name == "average_depth":
        return decimal(word)
    return scaled(word, 1024) if name == "total_size" else number(word)
