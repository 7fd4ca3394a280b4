r"""/proc/PID/numa_maps: on which memory nodes the pages of a process are.

Source: proc_pid_numa_maps(5), fs/proc/task_mmu.c.

Address, memory policy, then words and `key=count` pairs. The kernel escapes blanks, newlines and
`=` in a file name (`\040`). Two policies have a blank in their name. Counts of pages become bytes
with the page size that the line tells since Linux 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import scaled, unescaped
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Record, doc

_LINE = re.compile(
    rb"([0-9a-f]+) ((?:weighted interleave|prefer \(many\)|[^ :=]+)[^ ]*)(?: (.*))?", re.DOTALL
)
_NODE = re.compile(r"N[0-9]+")
_PAGES = ("anon", "dirty", "mapped", "swapcache", "active", "writeback")


class NumaMap(Record, frozen=True, kw_only=True):
    """One mapping; a count that is 0 is not printed by the kernel and null here."""

    address: Annotated[str, doc("First address")]
    policy: Annotated[str, doc("Memory policy with its nodes, as set_mempolicy(2) names it")]
    file: Annotated[str | None, doc("The file that backs it")]
    kind: Annotated[str | None, doc("`heap`, `stack` or `huge`")]
    anon: Annotated[int | None, doc("Anonymous pages", "bytes")]
    dirty: Annotated[int | None, doc("Dirty pages", "bytes")]
    mapped: Annotated[int | None, doc("Mapped pages, where that differs from the others", "bytes")]
    mapmax: Annotated[int | None, doc("The most processes that map one of its pages; null for 1")]
    swapcache: Annotated[int | None, doc("Pages with a place in swap", "bytes")]
    active: Annotated[int | None, doc("Pages on the active list, where not all are", "bytes")]
    writeback: Annotated[int | None, doc("Pages being written", "bytes")]
    nodes: Annotated[dict[str, int], doc("Pages on each node that has any", "bytes")]
    page_size: Annotated[int | None, doc("Size of a page; null before Linux 4.2", "bytes")]
    extra: Extra = UNSET


def _mapping(line: bytes, machine: Machine) -> NumaMap:
    match = matched(_LINE, line, "ADDRESS POLICY and words")
    address, policy, rest = match.groups(b"")
    pairs = (word.partition(b"=") for word in rest.split(b" ") if word)
    words: dict[str, str] = {decoded(key): decoded(unescaped(value)) for key, _, value in pairs}
    kilo = words.pop("kernelpagesize_kB", None)
    page = machine.page_size if kilo is None else int(kilo) * 1024
    counts: dict[str, Any] = {
        key: scaled(words.pop(key), page) if key in words else None for key in _PAGES
    }
    nodes = {key[1:]: scaled(words.pop(key), page) for key in [*words] if _NODE.fullmatch(key)}
    kind = next(
        (key for key in ("heap", "stack", "huge") if words.pop(key, None) is not None), None
    )
    return NumaMap(
        address=f"0x{decoded(address)}",
        policy=decoded(policy),
        file=words.pop("file", None),
        kind=kind,
        mapmax=int(words.pop("mapmax")) if "mapmax" in words else None,
        nodes=nodes,
        page_size=None if kilo is None else page,
        extra=words or UNSET,
        **counts,
    )


def decode(raw: bytes, machine: Machine) -> list[NumaMap]:
    """The mappings in the order of their addresses."""
    return rows(raw, lambda line: _mapping(line, machine))


def text(maps: Iterable[NumaMap], _: Machine) -> str:
    """A mapping a line. The kernel leaves `mapped` out where `anon` or `dirty` is the same."""
    header = ("ADDRESS", "POLICY", "MAPPED", "ANON", "DIRTY", "NODES", "FILE")
    rows = [
        (one.address, one.policy, size(_mapped(one)), size(one.anon), size(one.dirty), *_where(one))
        for one in maps
    ]
    return columns(rows, header, right=(2, 3, 4)) if rows else "no mappings\n"


def _mapped(one: NumaMap) -> int | None:
    return sum(one.nodes.values()) if one.mapped is None and one.nodes else one.mapped


def _where(one: NumaMap) -> tuple[str, str]:
    """The nodes, with what is on each if there are several, and the file."""
    several = len(one.nodes) > 1
    nodes = [f"{node}={size(held)}" if several else node for node, held in one.nodes.items()]
    return ",".join(nodes) or "-", one.file or one.kind or "-"
