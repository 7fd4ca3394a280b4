"""/proc/net/ipv6_route: the IPv6 routes of all tables.

Source: ipv6_route_native_seq_show, net/ipv6/ip6_fib.c, proc_pid_net(5).

Ten columns without a header. The tables follow each other unnamed: the local addresses, the
multicast network of each interface and, with the highest metric, the entry for "no route" are among
the routes that ip(8) shows. Of several next hops only the first is printed. The router preference
of RFC 4191 sits in two bits of the flags.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import flags, hexadecimal, ipv6
from procmirror.decoding.table import Row, headless
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.network import ROUTE_FLAGS, ROUTE_PREFERENCE_MASK, ROUTE_PREFERENCES

_OWN = {"RTF_LOCAL", "RTF_ANYCAST"}


class Route(Record, frozen=True):
    """One route."""

    destination: Annotated[str, doc("The network's address")]
    prefix_length: Annotated[int, doc("Length of its prefix", "bits")]
    source: Annotated[str, doc("Network from which packets must come, `::` for any")]
    source_prefix_length: Annotated[int, doc("Length of its prefix", "bits")]
    gateway: Annotated[str | None, doc("Next hop; null for a destination on the link")]
    metric: Annotated[int, doc("Priority: the least is preferred")]
    ref_cnt: Annotated[int, doc("References to the route")]
    use: Annotated[int, doc("Unused: always 0 since Linux 4.18")]
    flags: Annotated[list[str], doc("RTF_*, but for the preference")]
    preference: Annotated[
        str, doc("Preference among default routers: `low`, `medium`, `high` or `invalid`")
    ]
    device: Annotated[str | None, doc("Interface; null for a route without one")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Route]:
    """The routes in the kernel's order, table after table."""
    return headless(raw, _NAMES, _route)


_NAMES = (
    "destination prefix_length source source_prefix_length gateway metric ref_cnt use flags device"
)


def _route(row: Row) -> Route:
    mask, gateway = row("flags", hexadecimal), row("gateway", ipv6)
    return Route(
        destination=row("destination", ipv6),
        prefix_length=row("prefix_length", hexadecimal),
        source=row("source", ipv6),
        source_prefix_length=row("source_prefix_length", hexadecimal),
        gateway=gateway if mask & 2 else None,
        metric=row("metric", hexadecimal),
        ref_cnt=row("ref_cnt", hexadecimal),
        use=row("use", hexadecimal),
        flags=flags(mask & ~ROUTE_PREFERENCE_MASK, ROUTE_FLAGS),
        preference=ROUTE_PREFERENCES[mask & ROUTE_PREFERENCE_MASK],
        device=row.may("device", decoded),
        extra=row.extra(),
    )


def text(routes: list[Route], _: Machine) -> str:
    """One route a line, those to elsewhere before the machine's own addresses and multicast."""
    ordered = sorted(
        routes, key=lambda one: (not _OWN.isdisjoint(one.flags), one.destination == "ff00::")
    )
    return columns(
        map(_row, ordered), ("DESTINATION", "GATEWAY", "DEVICE", "METRIC", "OPTIONS"), right=(3,)
    )


def _row(one: Route) -> list[object]:
    network = f"{one.destination}/{one.prefix_length}" if one.prefix_length else "default"
    return [network, _gateway(one), one.device or "-", one.metric, ", ".join(_options(one))]


def _gateway(one: Route) -> str:
    for flag, word in (
        ("RTF_LOCAL", "local"),
        ("RTF_ANYCAST", "anycast"),
        ("RTF_REJECT", "unreachable"),
    ):
        if flag in one.flags:
            return word
    return one.gateway or ("on-link" if one.device else "no-device")


# The flags that `ip -6 route` shows.
_SHOWN = (
    *("RTF_ADDRCONF", "RTF_EXPIRES", "RTF_CACHE"),
    *("RTF_DYNAMIC", "RTF_MODIFIED", "RTF_PREFIX_RT"),
)


def _options(one: Route) -> list[str]:
    source = [f"from {one.source}/{one.source_prefix_length}"] if one.source_prefix_length else []
    preference = [f"preference {one.preference}"] if one.preference != "medium" else []
    return (
        source
        + preference
        + [flag.removeprefix("RTF_").lower() for flag in one.flags if flag in _SHOWN]
    )
