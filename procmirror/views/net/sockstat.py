"""/proc/net/sockstat and sockstat6: how many sockets, and their memory.

Source: proc_pid_net(5), net/ipv4/proc.c, net/ipv6/proc.c.

`mem` counts pages, or what stands for them (memory_unit), and `memory` bytes. Memory, orphans and
`alloc` are those of all network namespaces together.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import pairs, record_with_extra, scaled
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.sockets import memory_unit


class Counts(Record, frozen=True):
    """One protocol, with what its line has."""

    used: Annotated[int | None, doc("Sockets of all protocols")] = None
    inuse: Annotated[int | None, doc("Sockets in use; of FRAG, datagrams being put together")] = (
        None
    )
    orphan: Annotated[int | None, doc("TCP sockets that no process holds any more")] = None
    tw: Annotated[int | None, doc("TCP sockets in TIME_WAIT")] = None
    alloc: Annotated[int | None, doc("TCP sockets allocated, in whatever state")] = None
    mem: Annotated[
        int | None,
        doc(
            "Memory of the sockets' queues; Linux 4.11 to 5.19 counts it in 4096 bytes whatever a "
            "page has: `--decode` of their file takes `--page-size 4096`",
            "bytes",
        ),
    ] = None
    memory: Annotated[int | None, doc("Memory of the datagrams being put together", "bytes")] = None
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> dict[str, Counts]:
    """The protocols by the kernel's names: `sockets`, `TCP`, `UDP6`, …."""
    return {key: _counts(value.split(), machine) for key, value in pairs(raw)}


def _counts(words: list[bytes], machine: Machine) -> Counts:
    found: dict[str, Any] = dict(
        zip_longest(map(decoded, words[::2]), map(decoded, words[1::2]), fillvalue="")
    )
    if found.get("mem", "").isdecimal():
        found["mem"] = _bytes(found["mem"], machine)
    return record_with_extra(Counts, found)


def _bytes(word: str, machine: Machine) -> int | str:
    try:
        return scaled(word, memory_unit(machine.release, machine.page_size))
    except ValueError:
        return word


def text(found: dict[str, Counts], _: Machine) -> str:
    """One protocol a line: sockets, and the memory that they take."""
    rows = [
        (
            name,
            *(_shown(count) for count in (one.used, one.inuse, one.orphan, one.tw, one.alloc)),
            size(one.mem if one.memory is None else one.memory),
        )
        for name, one in found.items()
    ]
    header = ("PROTOCOL", "USED", "INUSE", "ORPHAN", "TIME_WAIT", "ALLOC", "MEMORY")
    return columns(rows, header, right=range(1, 7))


def _shown(count: int | None) -> str:
    return "-" if count is None else str(count)
