"""/proc/net/rt_cache: the IPv4 routing cache.

Source: net/ipv4/route.c. Which went away with Linux 3.6; only the header is left.

Kernels before that have a row for each cached route.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import flags, ipv4, lines, unknown
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc
from procmirror.kernel.network import ROUTE_CACHE_FLAGS

_KNOWN = (
    *("Iface", "Destination", "Gateway", "Flags", "RefCnt", "Use", "Metric", "Source"),
    *("MTU", "Window", "IRTT", "TOS", "HHRef", "HHUptod", "SpecDst"),
)


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
    header, *rows = lines(raw)
    names = [decoded(name) for name in header.split()]
    return [_cached(dict(zip(names, row.split(), strict=True))) for row in rows]


def _cached(found: dict[str, bytes]) -> Cached:
    return Cached(
        iface=None if found["Iface"] == b"*" else decoded(found["Iface"]),
        destination=ipv4(found["Destination"]),
        gateway=ipv4(found["Gateway"]),
        flags=flags(int(found["Flags"], 16), ROUTE_CACHE_FLAGS),
        ref_cnt=int(found["RefCnt"]),
        use=int(found["Use"]),
        metric=int(found["Metric"]),
        source=ipv4(found["Source"]),
        mtu=int(found["MTU"]) or None,
        window=int(found["Window"]) or None,
        irtt=int(found["IRTT"]) / 1000 or None,
        tos=int(found["TOS"], 16),
        hh_ref=int(found["HHRef"]),
        hh_uptod=found["HHUptod"] != b"0",
        spec_dst=ipv4(found["SpecDst"]),
        extra=unknown(found, _KNOWN),
    )
