"""/proc/net/ip_vs_stats: what the IP virtual server handled.

Source: ip_vs_stats_show in net/netfilter/ipvs/ip_vs_ctl.c.

All numbers are hexadecimal.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import lines, surplus
from procmirror.decode.view import Extra, Machine, Record, doc


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
    _first, _second, total, _empty, _third, rate = lines(raw)
    return Stats(_traffic(total), _traffic(rate))


def _traffic(line: bytes) -> Traffic:
    words = line.split()
    conns, packets_in, packets_out, bytes_in, bytes_out = (int(word, 16) for word in words[:5])
    return Traffic(conns, packets_in, packets_out, bytes_in, bytes_out, surplus(words, 5))
