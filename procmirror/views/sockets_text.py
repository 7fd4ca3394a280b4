"""The text of sockets: one socket a line."""

from __future__ import annotations

from collections.abc import Iterable

from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Machine
from procmirror.views.sockets import Process, Socket


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
    return columns(
        rows,
        ("NETID", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "PEER", "USER", "PROCESS"),
        right=(2, 3),
    )


def _rank(one: Socket) -> int:
    if one.netid == "unix":
        return 2 if one.state == "LISTEN" else 4
    if one.netid in {"netlink", "packet"}:
        return 3
    return 0 if one.state in {"LISTEN", "CLOSE"} else 1


def _row(one: Socket) -> tuple[str, ...]:
    if one.incomplete:
        parts = "; ".join(f"{part.part}: {part.reason}" for part in one.incomplete)
        return (one.netid, "(incomplete)", "", "", "", "", "", parts)
    short = {"unix": f"u_{one.type}"[:5], "packet": f"p_{one.type}"[:5], "netlink": "nl"}
    return (
        short.get(one.netid, one.netid),
        one.state or "-",
        size(one.rx_queue) if one.accept_queue is None else str(one.accept_queue),
        size(one.tx_queue),
        one.local or "*",
        one.peer or "*",
        one.user or ("-" if one.uid is None else str(one.uid)),
        "(ambiguous)" if one.ambiguous else ", ".join(map(_holder, one.processes)),
    )


def _holder(process: Process) -> str:
    return f"{process.comm or '?'}({process.pid}) fd {','.join(map(str, process.fds))}"
