"""/proc/vmallocinfo: the kernel's virtually contiguous memory (proc(5), mm/vmalloc.c).

After range and size come the function that asked for it and words about it. Addresses are hashed,
or 0 where the kernel hides them; areas that wait to be freed have no function.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

LINE = re.compile(r"0x([0-9a-f]+)-0x([0-9a-f]+) +(\d+)(.*)")
KINDS = {
    "ioremap",
    "vmalloc",
    "vmap",
    "user",
    "dma-coherent",
    "sparse",
    "vpages",
    "vm_map_ram",
    "unpurged",
}
NODE = re.compile(r"N\d+")
FACT = re.compile(r"(\w+)=(\w+)")


class Area(Record, frozen=True):
    """One area."""

    start: Annotated[
        str | None, doc("First address, or a hash of it; null where the kernel hides it")
    ]
    end: Annotated[
        str | None,
        doc("The address after the last, or a hash of it; null where the kernel hides it"),
    ]
    size: Annotated[int, doc("Its size, the guard page included", "bytes")]
    caller: Annotated[
        str | None, doc("The function that asked for it; null if the kernel does not say")
    ]
    kinds: Annotated[
        list[str],
        doc("vmalloc, vmap, ioremap, user, dma-coherent, sparse, vpages, vm_map_ram or unpurged"),
    ]
    pages: Annotated[int | None, doc("Number of its pages")]
    phys: Annotated[str | None, doc("Physical address")]
    nodes: Annotated[dict[int, int], doc("Pages on each node")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Area]:
    """One area a line."""
    return rows(raw, lambda line: _area(decoded(line)))


def _area(line: str) -> Area:
    match = matched(LINE, line, "0xSTART-0xEND SIZE and words")
    start, end = hexadecimal(match[1]), hexadecimal(match[2])
    words = match[4].replace("unpurged vm_area", "unpurged").split()
    facts = {fact[1]: fact[2] for fact in map(FACT.fullmatch, words) if fact}
    nodes = {int(name[1:]): int(facts.pop(name)) for name in list(facts) if NODE.fullmatch(name)}
    return Area(
        start=hex(start) if end else None,
        end=hex(end) if end else None,
        size=int(match[3]),
        caller=_caller(words),
        kinds=[word for word in words if word in KINDS],
        pages=int(facts.pop("pages")) if "pages" in facts else None,
        phys=hex(hexadecimal(facts.pop("phys"))) if "phys" in facts else None,
        nodes=nodes,
        extra=facts or UNSET,
    )


def _caller(words: list[str]) -> str | None:
    return (
        " ".join(word for word in words if word not in KINDS and not FACT.fullmatch(word)) or None
    )
