"""/proc/net/rpc/nfs: the calls of the NFS client (net/sunrpc/stats.c; nfsstat(8))."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.nfs import NFS2, NFS3, NFS4_CLIENT, NFS4_CLIENT_SETTLED
from procmirror.views.net.rpc.counts import Net, procedures, record, rows


class Rpc(Record, frozen=True):
    """The line `rpc`."""

    calls: Annotated[int, counted("Calls")]
    retransmissions: Annotated[int, counted("Calls sent again")]
    authrefresh: Annotated[int, counted("Credentials renewed")]


class Client(Record, frozen=True):
    """The file; null for a version that the client does not have."""

    net: Annotated[Net | None, doc("Packets; all 0 for a client")]
    rpc: Annotated[Rpc | None, doc("Calls of all versions")]
    proc2: Annotated[dict[str, int] | None, counted("Calls of NFS 2 by procedure")]
    proc3: Annotated[dict[str, int] | None, counted("Calls of NFS 3 by procedure")]
    proc4: Annotated[
        dict[str, int] | None,
        counted("Calls of NFS 4 by operation; by number before Linux 5.9, whose order differs"),
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Client:
    """The lines by their first words."""
    found = rows(raw)
    client = Client(
        net=found.tried("net", record(Net)),
        rpc=found.tried("rpc", record(Rpc)),
        proc2=found.tried("proc2", lambda rest: procedures(rest, NFS2)),
        proc3=found.tried("proc3", lambda rest: procedures(rest, NFS3)),
        proc4=found.tried("proc4", _operations),
        extra=found.extra(),
    )
    found.settle()
    return client


def _operations(rest: bytes) -> dict[str, int]:
    settled = len(rest.split()) > NFS4_CLIENT_SETTLED
    return procedures(rest, NFS4_CLIENT if settled else ())
