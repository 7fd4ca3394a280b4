"""/proc/net/rt_cache: the IPv4 routing cache.

Source: net/ipv4/route.c. Linux 3.6 removed the cache; only the header is left.

Older kernels have a row for each cached route.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import flags, hexadecimal, ipv4
from procmirror.decoding.table import Row, table
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.network import ROUTE_CACHE_FLAGS
from procmirror.views.net.route import interface


class Cached(Record, frozen=True):
    """One cached route."""

    iface: Annotated[str | None, doc("Interface; null for a route without one")]
    destination: Annotated[str, doc("Address of the peer")]
    gateway: Annotated[str, doc("Next hop")]
    flags: Annotated[list[str], doc("RTCF_*")]
    ref_cnt: Annotated[int, doc("References")]
    use: Annotated[int, doc("How often it was used")]
    metric: Annotated[int, doc("Unused: always 0")]
    source: Annotated[str, doc("Own address")]
    mtu: Annotated[
        int | None, doc("Announced TCP segment size plus 40; null if there is none", "bytes")
    ]
    window: Annotated[int | None, doc("Limit of the TCP window; null if there is none", "bytes")]
    irtt: Annotated[
        float | None, doc("Round trip time and its variance; null if there is none", "seconds")
    ]
    tos: Annotated[int, doc("Type of service")]
    hh_ref: Annotated[int, doc("References to the cached hardware header; -1 for none")]
    hh_uptod: Annotated[bool, doc("Whether that header can be used")]
    spec_dst: Annotated[str, doc("Specific destination address")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Cached]:
    """The rows after the header: none since Linux 3.6."""
    return table(raw, "Iface Destination Gateway Flags", _cached)


def _cached(row: Row) -> Cached:
    return Cached(
        iface=row("Iface", interface),
        destination=row("Destination", ipv4),
        gateway=row("Gateway", ipv4),
        flags=row("Flags", lambda mask: flags(hexadecimal(mask), ROUTE_CACHE_FLAGS)),
        ref_cnt=row("RefCnt", int),
        use=row("Use", int),
        metric=row("Metric", int),
        source=row("Source", ipv4),
        mtu=row("MTU", int) or None,
        window=row("Window", int) or None,
        irtt=row("IRTT", int) / 1000 or None,
        tos=row("TOS", hexadecimal),
        hh_ref=row("HHRef", int),
        hh_uptod=row("HHUptod", int) != 0,
        spec_dst=row("SpecDst", ipv4),
        extra=row.extra(),
    )
