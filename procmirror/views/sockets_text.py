"""The text of sockets: one socket a line."""

from __future__ import annotations

from collections.abc import Iterable

from procmirror.decoding.text import columns, one_of_many, size
from procmirror.decoding.view import Machine
from procmirror.views.sockets import Process, Socket

# What most questions are about comes first: it stands within 80 columns.
HEADER = ("NETID", "STATE", "LOCAL", "PEER", "PROCESS", "RECV-Q", "SEND-Q", "USER", "HOLDERS")


def text(sockets: Iterable[Socket], _: Machine) -> str:
    """One socket a line.

    Who listens on the network first, then connections, then the sockets of this machine.

    The kernel's own netlink sockets, which are the same everywhere, are left out.
    """
    rows = [
        _row(one)
        for one in sorted(sockets, key=_rank)
        if (one.netid, one.local) != ("netlink", f"{one.protocol}:kernel")
    ]
    return columns(rows, HEADER, right=(5, 6))


def _rank(one: Socket) -> int:
    if one.netid == "unix":
        return 2 if one.state == "LISTEN" else 4
    if one.netid in {"netlink", "packet"}:
        return 3
    return 0 if one.state in {"LISTEN", "CLOSE"} else 1


def _row(one: Socket) -> tuple[str, ...]:
    if one.incomplete:
        parts = "; ".join(f"{part.part}: {part.reason}" for part in one.incomplete)
        return (one.netid, "(incomplete)", "", "", "", "", "", "", parts)
    short = {"unix": f"u_{one.type}"[:5], "packet": f"p_{one.type}"[:5], "netlink": "nl"}
    return (
        short.get(one.netid, one.netid),
        one.state or "-",
        one.local or "*",
        one.peer or "*",
        _first(one),
        size(one.rx_queue) if one.accept_queue is None else str(one.accept_queue),
        size(one.tx_queue),
        one.user or ("-" if one.uid is None else str(one.uid)),
        ", ".join(map(_holder, one.processes)),
    )


def _first(one: Socket) -> str:
    """The first process that holds it, and how many more there are: `nginx(45)+3`."""
    if one.ambiguous:
        return "(ambiguous)"
    if not one.processes:
        return "-"
    first, *others = one.processes
    return f"{first.comm or '?'}({first.pid})" + (f"+{len(others)}" if others else "")


def _holder(process: Process) -> str:
    return f"{one_of_many(process.comm or '?')}({process.pid}) fd {','.join(map(str, process.fds))}"
