"""/proc/pagetypeinfo: the free memory by its kind of mobility (proc(5), mm/vmstat.c).

The kernel prints all tables of one node after the other. Since Linux 5.4 it stops
counting at 100000 and says `>100000`.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines, number, scaled
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

FACT = re.compile(r"(Page[^:]*): *(\d{1,15})")
FREE = re.compile(r"Node +(\d{1,15}), zone +(\S+), type +(\S+)((?: +>?\d{1,15})+) *")
BLOCKS = re.compile(r"Node +(\d{1,15}), zone +(\S+)((?: +\d{1,15})+) *")


class Free(Record, frozen=True):
    """The free blocks of one kind in one zone."""

    node: Annotated[int, doc("The node")]
    zone: Annotated[str, doc("The zone")]
    type: Annotated[str, doc("The kind: Unmovable, Movable, Reclaimable, …")]
    blocks: Annotated[
        list[int | str],
        doc(
            "Free blocks of 1, 2, 4, 8, … pages; a text like `>100000` where it was too many to "
            "count"
        ),
    ]


class Blocks(Record, frozen=True):
    """The page blocks of one zone."""

    node: Annotated[int, doc("The node")]
    zone: Annotated[str, doc("The zone")]
    blocks: Annotated[dict[str, int], doc("Page blocks of each kind")]


class Pagetypeinfo(Record, frozen=True):
    """The tables of the file."""

    page_block_order: Annotated[
        int | None, doc("Two to the power of this are the pages in a page block")
    ]
    page_block_size: Annotated[int | None, doc("Size of a page block", "bytes")]
    free: Annotated[list[Free], doc("Free blocks by zone and kind")]
    blocks: Annotated[list[Blocks] | None, doc("Page blocks by zone")]
    mixed: Annotated[
        list[Blocks] | None,
        doc("Page blocks with pages of another kind; null without page owner tracking"),
    ]
    lines: Annotated[list[str], doc("Lines that could not be decoded")]


def decode(raw: bytes, machine: Machine) -> Pagetypeinfo:
    """The tables, told apart by their headings."""
    facts: dict[str, int] = {}
    free: list[Free] = []
    tables: dict[str, list[Blocks]] = {}
    title, kinds = "", [""]
    odd: list[str] = []
    for line in map(decoded, lines(raw)):
        if match := FACT.fullmatch(line):
            facts[match[1]] = number(match[2])
        elif line.startswith("Number of "):
            title, _, names = line.partition("blocks")
            kinds = names.removeprefix(" type").split()
            # The kernel prints each heading once for each node that has memory.
            tables.setdefault(title, [])
        elif match := FREE.fullmatch(line):
            free.append(
                Free(int(match[1]), match[2], match[3], [_count(word) for word in match[4].split()])
            )
        elif (match := BLOCKS.fullmatch(line)) and len(match[3].split()) == len(kinds):
            counts = dict(zip(kinds, map(int, match[3].split()), strict=True))
            tables[title].append(Blocks(int(match[1]), match[2], counts))
        elif line.strip() and not line.startswith("Free pages count per migrate type"):
            odd.append(line)
            if not line.startswith("Node"):  # of an odd heading the table is not known
                kinds = [""]
    if not facts and not free:
        raise expected("Page block order: …", raw)
    pages = facts.get("Pages per block")
    size = None if pages is None else scaled(str(pages), machine.page_size)
    blocks, mixed = tables.get("Number of "), tables.get("Number of mixed ")
    return Pagetypeinfo(facts.get("Page block order"), size, free, blocks, mixed, odd)


def _count(word: str) -> int | str:
    return word if word.startswith(">") else int(word)
