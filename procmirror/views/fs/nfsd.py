"""/proc/fs/nfsd/*: the NFS server, where its file system is mounted (nfsd(7), fs/nfsd/nfsctl.c).

Only files that say something when they are read; the rest of the directory takes commands.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines, pairs, unescaped
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


def exports(raw: bytes, _: Machine) -> list[Export]:
    """One export a line, after the comments at the top."""
    found = []
    for line in lines(raw):
        match = EXPORT.fullmatch(line)
        if match:
            comment, path, client, options = match.groups()
            words = decoded(options).split(",")
            found.append(
                Export(decoded(unescaped(path)), decoded(unescaped(client)), words, not comment)
            )
        elif not line.startswith(b"# "):
            raise expected("PATH CLIENT(OPTIONS)", line)
    return found


def versions(raw: bytes, _: Machine) -> dict[str, bool]:
    """The versions of NFS, each on or off."""
    return {word[1:]: {"+": True, "-": False}[word[0]] for word in decoded(raw).split()}


def ports(raw: bytes, _: Machine) -> list[Port]:
    """One address a line."""
    return [
        Port(decoded(transport), int(port))
        for transport, port in (line.split() for line in lines(raw))
    ]


def number(raw: bytes, _: Machine) -> Number:
    """The number."""
    return Number(int(raw))


def numbers(raw: bytes, _: Machine) -> list[int]:
    """The threads of each pool."""
    return [int(word) for word in raw.split()]


def pools(raw: bytes, _: Machine) -> list[dict[str, int]]:
    """The pools of threads, with the columns that the header names (knfsd-stats.rst)."""
    header, *rows = (line.split() for line in lines(raw))
    names = [decoded(name) for name in header[1:]]
    return [dict(zip(names, map(int, row), strict=True)) for row in rows]


def counters(raw: bytes, _: Machine) -> dict[str, float | None]:
    """Statistics of a cache: counts, sizes in bytes, and what the kernel has in ms in seconds.

    Null for what it cannot say.
    """
    return dict(_counter(name, value) for name, value in pairs(raw))


def _counter(name: str, value: bytes) -> tuple[str, float | None]:
    title = name.removesuffix(" (ms)")
    number = None if value == b"-" else int(value)
    return title, number if number is None or title == name else number / 1000
