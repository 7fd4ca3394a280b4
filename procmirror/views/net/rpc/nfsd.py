"""/proc/net/rpc/nfsd: the calls of the NFS server.

Source: fs/nfsd/stats.c, net/sunrpc/stats.c, nfsstat(8).

Much of it is kept for the readers only: kernels of today print zeros for `ra`, the histogram and
most of `fh`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.nfs import NFS2, NFS3, NFS4_SERVER, OPERATIONS4
from procmirror.views.net.rpc.counts import Net, numbers, procedures, rows


class ReplyCache(Record, frozen=True):
    """The line `rc`."""

    hits: Annotated[int, counted("Calls answered from the cache")]
    misses: Annotated[int, counted("Calls that were not in it")]
    nocache: Annotated[int, counted("Calls that may be done twice and need no cache")]


class Traffic(Record, frozen=True):
    """The line `io`."""

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

    rc: Annotated[ReplyCache, doc("The cache of replies")]
    fh: Annotated[list[int], doc("File handles: stale ones, then four numbers that are 0 now")]
    io: Annotated[Traffic, doc("Bytes read and written")]
    th: Annotated[Threads | None, doc("Threads")]
    ra: Annotated[
        list[int] | None,
        doc("Read-ahead cache: size, hits at 10 to 100 % of its depth, misses; 0 now"),
    ]
    net: Annotated[Net, doc("Packets")]
    rpc: Annotated[Rpc, doc("Calls of all versions")]
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
    return Server(
        rc=ReplyCache(*numbers(found.pop("rc"))),
        fh=list(numbers(found.pop("fh"))),
        io=Traffic(*numbers(found.pop("io"))),
        th=_threads(found.pop("th")) if "th" in found else None,
        ra=list(numbers(found.pop("ra"))) if "ra" in found else None,
        net=Net(*numbers(found.pop("net"))),
        rpc=Rpc(*numbers(found.pop("rpc"))),
        proc2=procedures(found.pop("proc2", None), NFS2),
        proc3=procedures(found.pop("proc3", None), NFS3),
        proc4=procedures(found.pop("proc4", None), NFS4_SERVER),
        proc4ops=procedures(found.pop("proc4ops", None), OPERATIONS4),
        wdeleg_getattr=numbers(found.pop("wdeleg_getattr"))[0]
        if "wdeleg_getattr" in found
        else None,
        extra={key: decoded(b" ".join(words)) for key, words in found.items()} or UNSET,
    )


def _threads(words: list[bytes]) -> Threads:
    return Threads(int(words[0]), int(words[1]), [float(word) for word in words[2:]])
