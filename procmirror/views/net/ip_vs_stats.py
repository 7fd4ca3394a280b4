"""/proc/net/ip_vs_stats: what the IP virtual server handled.

Source: ip_vs_stats_show in net/netfilter/ipvs/ip_vs_ctl.c.

All numbers are hexadecimal.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import hexadecimal, lines
from procmirror.decoding.table import Row, words
from procmirror.decoding.view import Extra, Machine, Record, doc


class Traffic(Record, frozen=True):
    """One row of numbers."""

    conns: Annotated[int | None, doc("Connections")]
    incoming_packets: Annotated[int | None, doc("Packets to the servers")]
    outgoing_packets: Annotated[int | None, doc("Packets back")]
    incoming_bytes: Annotated[int | None, doc("Bytes to the servers", "bytes")]
    outgoing_bytes: Annotated[int | None, doc("Bytes back", "bytes")]
    extra: Extra = UNSET


class Stats(Record, frozen=True):
    """Both rows."""

    total: Annotated[Traffic | None, doc("Since it was loaded, or set to zero")]
    per_second: Annotated[Traffic | None, doc("In a second, as the kernel estimates it")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Stats:
    """The rows below the two headers; ValueError if neither has numbers."""
    every = lines(raw)
    parts = Row(("total", "per_second"), (every[2], every[5]))
    total, rate = parts.tried("total", _row), parts.tried("per_second", _row)
    parts.settle()
    return Stats(total, rate, parts.extra())


def _row(line: bytes) -> Traffic:
    return words(line, _NAMES, _traffic)


_NAMES = "conns incoming_packets outgoing_packets incoming_bytes outgoing_bytes"


def _traffic(row: Row) -> Traffic:
    values: list[Any] = [row.tried(name, hexadecimal) for name in _NAMES.split()]
    values.append(row.extra())
    return Traffic(*values)
