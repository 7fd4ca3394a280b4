"""/proc/net/sockstat and sockstat6: how many sockets, and their memory.

Source: proc_pid_net(5), net/ipv4/proc.c, net/ipv6/proc.c.

`mem` counts pages and `memory` bytes. Memory, orphans and `alloc` are those of all network
namespaces together.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, UnsetType

from procmirror.decode.shapes import known, pairs
from procmirror.decode.text import decoded
from procmirror.decode.view import Machine, Record, doc


class Counts(Record, frozen=True):
    """One protocol, with what its line has."""

    used: Annotated[int | UnsetType, doc("Sockets of all protocols")] = UNSET
    inuse: Annotated[
        int | UnsetType, doc("Sockets in use; of FRAG, datagrams being put together")
    ] = UNSET
    orphan: Annotated[int | UnsetType, doc("TCP sockets that no process holds any more")] = UNSET
    tw: Annotated[int | UnsetType, doc("TCP sockets in TIME_WAIT")] = UNSET
    alloc: Annotated[int | UnsetType, doc("TCP sockets allocated, in whatever state")] = UNSET
    mem: Annotated[int | UnsetType, doc("Memory of the sockets' queues", "bytes")] = UNSET
    memory: Annotated[
        int | UnsetType, doc("Memory of the datagrams being put together", "bytes")
    ] = UNSET
    extra: Annotated[dict[str, str] | UnsetType, doc("What has no field here, verbatim")] = UNSET


def decode(raw: bytes, machine: Machine) -> dict[str, Counts]:
    """The protocols by the kernel's names: `sockets`, `TCP`, `UDP6`, …."""
    return {key: _counts(value.split(), machine) for key, value in pairs(raw)}


def _counts(words: list[bytes], machine: Machine) -> Counts:
    found: dict[str, Any] = dict(
        zip(map(decoded, words[::2]), map(decoded, words[1::2]), strict=True)
    )
    if "mem" in found:
        found["mem"] = int(found["mem"]) * machine.page_size
    return known(Counts, found)
