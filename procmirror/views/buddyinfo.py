"""/proc/buddyinfo: the free memory by size of its blocks (proc_buddyinfo(5), mm/vmstat.c)."""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.listing import listing
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import counter, scaled
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

LINE = re.compile(rb"Node +(\d+), zone +(\S+)((?: +\d+)+) *")


class Zone(Record, frozen=True):
    """One zone of memory."""

    node: Annotated[int, doc("The node")]
    zone: Annotated[str, doc("The zone")]
    blocks: Annotated[list[int], doc("Free blocks of 1, 2, 4, 8, … pages")]
    free: Annotated[int, doc("All of them together", "bytes")]


def decode(raw: bytes, machine: Machine) -> list[Zone]:
    """One zone a line."""
    return rows(raw, lambda line: _zone(line, machine))


def _zone(line: bytes, machine: Machine) -> Zone:
    match = matched(LINE, line, "Node NUMBER, zone NAME and counts")
    blocks = [counter(count) for count in match[3].split()]
    if len(blocks) > 64:
        raise expected("at most 64 sizes of blocks", match[3])
    pages = sum(count << order for order, count in enumerate(blocks))
    return Zone(int(match[1]), decoded(match[2]), blocks, scaled(str(pages), machine.page_size))


text = listing(
    "NODE node number", "ZONE zone", "FREE free bytes", "BLOCKS blocks", none="no zones\n"
)
