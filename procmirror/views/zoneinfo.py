"""/proc/zoneinfo: the zones of memory (proc_zoneinfo(5), zoneinfo_show_print in mm/vmstat.c).

The first zone of a node has the counters of the node too. A zone without memory ends after its
sizes.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import counter, scaled
from procmirror.decoding.table import matched, paragraphs, pieces
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Record, doc

HEAD = re.compile(r"Node +(\d+), zone +(\S+)")
PROTECTION = " protection: ("
THRESHOLD = "vm stats threshold"
HEADINGS = {"per-node stats", "pagesets"}
# Sizes that a newer kernel prints below the pagesets.
HIGHATOMIC = {"reserved_highatomic", "free_highatomic"}
KINDS = ("size", "counter", "pageset", "rest")
UNRECLAIMABLE = {"0": False, "1": True, None: None}


class Pageset(Record, frozen=True):
    """The free pages that one CPU keeps for itself."""

    cpu: Annotated[int, doc("The CPU")]
    values: Annotated[
        dict[str, int], doc("count now, the high mark, the batch that is moved at once, …", "pages")
    ]
    vm_stats_threshold: Annotated[int | None, doc("By how much its counters may be behind")] = None


class Zone(Record, frozen=True):
    """One zone."""

    node: Annotated[int, doc("The node")]
    zone: Annotated[str, doc("The zone")]
    sizes: Annotated[
        dict[str, int],
        doc("free, the marks min, low, high, promo, then spanned, present, managed, …", "bytes"),
    ]
    protection: Annotated[
        list[int], doc("Kept from allocations that could be served by each higher zone", "bytes")
    ]
    stats: Annotated[dict[str, int], doc("Counters of the zone, most in pages")]
    node_stats: Annotated[dict[str, int] | None, doc("Counters of the node, at its first zone")]
    pagesets: Annotated[list[Pageset], doc("Free pages kept by each CPU")]
    node_unreclaimable: Annotated[bool | None, doc("Reclaim finds nothing more")]
    start_pfn: Annotated[int | None, doc("Number of its first page")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Zone]:
    """The zones in their order."""
    zones = paragraphs(raw, lambda line: not line[:1].isspace())
    return pieces(zones, lambda piece: _zone(machine, *decoded(piece).split("\n")))


def _zone(machine: Machine, head: str, *body: str) -> Zone:
    title = matched(HEAD, head, "Node NUMBER, zone NAME")
    page = machine.page_size
    found = [parts for line in body if (parts := _fact(line))]
    keys = [key for _, key, _ in found]
    if "free" not in keys:
        raise expected(f"pages free NUMBER in {head}", "".join(body[:1]))
    start = keys.index("free")
    by_kind: dict[str, list[tuple[str, int]]] = {kind: [] for kind in KINDS}
    for indent, key, value in found[start:]:
        by_kind[_kind(indent, key)].append((key, counter(value)))
    rest = {line.strip(): "" for line in body if not _fact(line) and _is_odd(line)}
    rest |= {key: str(value) for key, value in by_kind["rest"]}
    pagesets, of_none = _pagesets(by_kind["pageset"])
    rest |= of_none
    return Zone(
        node=int(title[1]),
        zone=title[2],
        sizes={key: scaled(str(pages), page) for key, pages in by_kind["size"]},
        protection=[
            scaled(pages, page)
            for line in body
            if PROTECTION in line
            for pages in re.findall(r"\d+", line)
        ],
        stats=dict(by_kind["counter"]),
        node_stats={key: counter(value) for _, key, value in found[:start]} or None,
        pagesets=pagesets,
        node_unreclaimable=UNRECLAIMABLE[rest.pop("node_unreclaimable", None)],
        start_pfn=int(rest.pop("start_pfn")) if "start_pfn" in rest else None,
        extra=rest or UNSET,
    )


def _fact(line: str) -> tuple[int, str, str] | None:
    """The indentation, the key and the number of a line; None for one of another form."""
    head, _, value = line.rpartition(" ")
    key = head.strip(" ").removeprefix("pages ").lstrip(" ").removesuffix(":")
    return (len(head) - len(head.lstrip(" ")), key, value) if key and value.isdecimal() else None


def _is_odd(line: str) -> bool:
    return bool(line.strip()) and PROTECTION not in line and line.strip() not in HEADINGS


def _kind(indent: int, key: str) -> str:
    """What a line is about, by its indentation: 14 and below `cpu` pages of a CPU, 8 sizes."""
    if indent == 14 or key in {"cpu", THRESHOLD}:
        return "pageset"
    if indent == 8 or key == "free" or key in HIGHATOMIC:
        return "size"
    return "counter" if indent in {4, 6} else "rest"


def _pagesets(found: list[tuple[str, int]]) -> tuple[list[Pageset], dict[str, str]]:
    """The pages of the CPUs, and what is of no CPU, as its line is an odd one."""
    sets: list[Pageset] = []
    rest: dict[str, str] = {}
    for key, value in found:
        if key == "cpu":
            sets.append(Pageset(value, {}))
        elif sets and key == THRESHOLD and sets[-1].vm_stats_threshold is None:
            sets[-1] = msgspec.structs.replace(sets[-1], vm_stats_threshold=value)
        elif sets and key not in sets[-1].values:
            sets[-1].values[key] = value
        else:
            rest[f"{key}: {value}"] = ""
    return sets, rest


def text(zones: list[Zone], _: Machine) -> str:
    """One zone a line: what is free, and the watermarks below which the kernel makes room."""
    names = ("free", "min", "low", "high", "managed")
    rows = [(one.node, one.zone, *(size(one.sizes.get(name)) for name in names)) for one in zones]
    header = ("NODE", "ZONE", *(name.upper() for name in names))
    return columns(rows, header, right=(0, *range(2, 7)))
