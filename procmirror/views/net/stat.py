"""/proc/net/stat/*: what the caches of the network did on each CPU.

One joined view, for psutil and others list the directory.

Every file has a header and, in hexadecimal, a line for each possible CPU: arp_cache and ndisc_cache
(net/core/neighbour.c), rt_cache (net/ipv4/route.c), nf_conntrack
(net/netfilter/nf_conntrack_standalone.c), synproxy. `entries` is one number for the whole cache,
repeated on each line.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.parts import Parts
from procmirror.decoding.shapes import hexadecimal, lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc


class Unread(Record, frozen=True):
    """A file that could not be read, or that has another shape."""

    incomplete: Annotated[list[Incomplete], doc("Its name, and why")]


Caches = Annotated[
    dict[str, list[dict[str, int]] | Unread | None],
    doc(
        "By file: a row for each possible CPU, its columns under the kernel's names; null for a "
        "file that is gone"
    ),
]


def join(reading: Reading, machine: Machine) -> dict[str, list[dict[str, int]] | Unread | None]:
    """Each file of the directory."""
    return {name: _cache(reading, machine, f"stat/{name}") for name in reading.names("stat")}


def _cache(reading: Reading, machine: Machine, path: str) -> list[dict[str, int]] | Unread | None:
    parts = Parts(reading, machine)
    found = parts.file(path, _rows)
    return Unread(parts.incomplete) if parts.incomplete else found


def _rows(raw: bytes, _: Machine) -> list[dict[str, int]]:
    header, *rows = lines(raw)
    names = [decoded(name) for name in header.split()]
    return [
        {name: hexadecimal(value) for name, value in zip(names, row.split(), strict=True)}
        for row in rows
    ]
