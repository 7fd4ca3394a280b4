"""/proc/net/rt6_stats: how many nodes and routes the IPv6 tables hold.

Source: rt6_stats_seq_show, net/ipv6/route.c.

Seven numbers in hexadecimal, named as the kernel names what it counts (struct rt6_statistics,
include/net/ip6_fib.h).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import Row, words
from procmirror.decoding.view import Extra, Machine, Record, doc


class Rt6Stats(Record, frozen=True):
    """Counts of the routing tables of a network namespace."""

    fib_nodes: Annotated[int | None, doc("Nodes of the tree")]
    fib_route_nodes: Annotated[int | None, doc("Nodes that hold routes")]
    fib_rt_alloc: Annotated[int | None, doc("Routes allocated")]
    fib_rt_entries: Annotated[int | None, doc("Routes in the tables")]
    fib_rt_cache: Annotated[int | None, doc("Cached routes: exceptions such as a learnt path MTU")]
    dst_entries: Annotated[int | None, doc("Destinations in use")]
    fib_discarded_routes: Annotated[int | None, doc("Routes removed, where the kernel counts them")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Rt6Stats:
    """The numbers of the one line."""
    return words(raw, " ".join(Rt6Stats.__struct_fields__[:-1]), _stats)


def _stats(row: Row) -> Rt6Stats:
    values: list[Any] = [row.tried(name, hexadecimal) for name in Rt6Stats.__struct_fields__[:-1]]
    values.append(row.extra())
    return Rt6Stats(*values)
