"""/proc/fs/nfsd/*: the NFS server, where its file system is mounted (nfsd(7), fs/nfsd/nfsctl.c).

Only files that say something when they are read; the rest of the directory takes commands.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import counter, lines, pairs, unescaped
from procmirror.decoding.table import columns_of, matched, pieces, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

EXPORT = re.compile(rb"(# )?([^ \t\n]+)\t([^ \t\n]*)\(([^()]*)\)", re.DOTALL)


class Export(Record, frozen=True):
    """One directory for one client (svc_export_show in fs/nfsd/export.c)."""

    path: Annotated[str, doc("The directory")]
    client: Annotated[str, doc("Who may have it")]
    options: Annotated[list[str], doc("How, as in exports(5)")]
    valid: Annotated[bool, doc("The kernel did not yet forget it")]


class Port(Record, frozen=True):
    """One address at which the server listens."""

    transport: Annotated[str, doc("udp, tcp or rdma")]
    port: Annotated[int, doc("The port")]


class Number(Record, frozen=True):
    """A file of one number."""

    value: Annotated[
        int, doc("A count; bytes for max_block_size, seconds for nfsv4leasetime and nfsv4gracetime")
    ]


Counters = dict[str, float | str | None]


def exports(raw: bytes, _: Machine) -> list[Export]:
    """One export a line, after the comments at the top."""
    told = (
        (at, line)
        for at, line in enumerate(lines(raw), 1)
        if EXPORT.fullmatch(line) or not line.startswith(b"# ")
    )
    return pieces(told, _export)


def _export(line: bytes) -> Export:
    match = matched(EXPORT, line, "PATH CLIENT(OPTIONS)")
    comment, path, client, options = match.groups()
    words = decoded(options).split(",")
    return Export(decoded(unescaped(path)), decoded(unescaped(client)), words, not comment)


def versions(raw: bytes, _: Machine) -> dict[str, bool | None]:
    """The versions of NFS, each on or off; null for a word of another form."""
    words = decoded(raw).split()
    if words and not any(word[0] in _SIGNS for word in words):
        raise expected("+VERSION or -VERSION", words[0])
    return {word[word[0] in _SIGNS :]: _SIGNS.get(word[0]) for word in words}


_SIGNS = {"+": True, "-": False}


def ports(raw: bytes, _: Machine) -> list[Port]:
    """One address a line."""
    return rows(raw, _port)


def _port(line: bytes) -> Port:
    transport, port = line.split()
    return Port(decoded(transport), int(port))


def number(raw: bytes, _: Machine) -> Number:
    """The number."""
    return Number(int(raw))


def numbers(raw: bytes, _: Machine) -> list[int]:
    """The threads of each pool."""
    return [int(word) for word in raw.split()]


def pools(raw: bytes, _: Machine) -> list[dict[str, int]]:
    """The pools of threads, with the columns that the header names (knfsd-stats.rst)."""
    names = columns_of(raw, "# pool")[1:]
    return rows(raw, lambda row: dict(zip(names, map(int, row.split()), strict=True)), 1)


def counters(raw: bytes, _: Machine) -> Counters:
    """Statistics of a cache: counts, sizes in bytes, and what the kernel has in ms in seconds.

    Null for what it cannot say; a text for what is no number.
    """
    return dict(_counter(name, value) for name, value in pairs(raw))


def _counter(name: str, value: bytes) -> tuple[str, float | str | None]:
    title = name.removesuffix(" (ms)")
    try:
        count = counter(value)
    except ValueError:
        return title, None if value == b"-" else decoded(value)
    return title, count if title == name else count / 1000
