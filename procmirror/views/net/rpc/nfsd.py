"""/proc/net/rpc/nfsd: the calls of the NFS server.

Source: fs/nfsd/stats.c, net/sunrpc/stats.c, nfsstat(8).

Much of it is kept for the readers only: kernels of today print zeros for `ra`, the histogram and
most of `fh`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import decimal, number
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.nfs import NFS2, NFS3, NFS4_SERVER, OPERATIONS4
from procmirror.views.net.rpc.counts import Net, numbers, procedures, record, rows


class ReplyCache(Record, frozen=True):
    """The line `rc`."""

    hits: Annotated[int, counted("Calls answered from the cache")]
    misses: Annotated[int, counted("Calls that were not in it")]
    nocache: Annotated[int, counted("Calls that may be done twice and need no cache")]


class Traffic(Record, frozen=True):
    """Bytes read and written: the line `io`."""

    read: Annotated[int, counted("Read from files", "bytes")]
    write: Annotated[int, counted("Written to files", "bytes")]


class Threads(Record, frozen=True):
    """The line `th`."""

    threads: Annotated[int, doc("Threads of the server")]
    fullcnt: Annotated[int, doc("How often all were busy; 0 now")]
    busy: Annotated[
        list[float], doc("Time with up to 10, 20, … 100 % of them busy; 0 now", "seconds")
    ]


class Rpc(Record, frozen=True):
    """The line `rpc`."""

    calls: Annotated[int, counted("Calls")]
    bad: Annotated[int, counted("Calls refused, for one of the reasons that follow")]
    badfmt: Annotated[int, counted("Of them: not well formed")]
    badauth: Annotated[int, counted("Of them: bad credentials")]
    badclnt: Annotated[int, counted("Of them: from an unknown client")]


class Server(Record, frozen=True):
    """The file; null for what this kernel does not have."""

    rc: Annotated[ReplyCache | None, doc("The cache of replies")]
    fh: Annotated[
        list[int] | None, doc("File handles: stale ones, then four numbers that are 0 now")
    ]
    io: Annotated[Traffic | None, doc("Bytes read and written")]
    th: Annotated[Threads | None, doc("Threads")]
    ra: Annotated[
        list[int] | None,
        doc("Read-ahead cache: size, hits at 10 to 100 % of its depth, misses; 0 now"),
    ]
    net: Annotated[Net | None, doc("Packets")]
    rpc: Annotated[Rpc | None, doc("Calls of all versions")]
    proc2: Annotated[dict[str, int] | None, counted("Calls of NFS 2 by procedure")]
    proc3: Annotated[dict[str, int] | None, counted("Calls of NFS 3 by procedure")]
    proc4: Annotated[dict[str, int] | None, counted("Calls of NFS 4: compounds")]
    proc4ops: Annotated[dict[str, int] | None, counted("Operations in the compounds of NFS 4")]
    wdeleg_getattr: Annotated[
        int | None, counted("Attributes asked back from a client that may write")
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Server:
    """The lines by their first words."""
    found = rows(raw)
    server = Server(
        rc=found.tried("rc", record(ReplyCache)),
        fh=found.tried("fh", lambda rest: list(numbers(rest))),
        io=found.tried("io", record(Traffic)),
        th=found.tried("th", _threads),
        ra=found.tried("ra", lambda rest: list(numbers(rest))),
        net=found.tried("net", record(Net)),
        rpc=found.tried("rpc", record(Rpc)),
        proc2=found.tried("proc2", lambda rest: procedures(rest, NFS2)),
        proc3=found.tried("proc3", lambda rest: procedures(rest, NFS3)),
        proc4=found.tried("proc4", lambda rest: procedures(rest, NFS4_SERVER)),
        proc4ops=found.tried("proc4ops", lambda rest: procedures(rest, OPERATIONS4)),
        wdeleg_getattr=found.tried("wdeleg_getattr", number),
        extra=found.extra(),
    )
    found.settle()
    return server


def _threads(rest: bytes) -> Threads:
    threads, full, *busy = rest.split()
    return Threads(number(threads), number(full), list(map(decimal, busy)))
