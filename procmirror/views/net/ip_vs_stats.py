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

    conns: Annotated[int, doc("Connections")]
    incoming_packets: Annotated[int, doc("Packets to the servers")]
    outgoing_packets: Annotated[int, doc("Packets back")]
    incoming_bytes: Annotated[int, doc("Bytes to the servers", "bytes")]
    outgoing_bytes: Annotated[int, doc("Bytes back", "bytes")]
    extra: Extra = UNSET


class Stats(Record, frozen=True):
    """Both rows."""

    total: Annotated[Traffic, doc("Since it was loaded, or set to zero")]
    per_second: Annotated[Traffic, doc("In a second, as the kernel estimates it")]


def decode(raw: bytes, _: Machine) -> Stats:
    """The rows below the two headers."""
    total, rate = lines(raw)[2], lines(raw)[5]
    return Stats(words(total, _NAMES, _traffic), words(rate, _NAMES, _traffic))


_NAMES = "conns incoming_packets outgoing_packets incoming_bytes outgoing_bytes"


def _traffic(row: Row) -> Traffic:
    values: list[Any] = [row(name, hexadecimal) for name in _NAMES.split()]
    values.append(row.extra())
    return Traffic(*values)
