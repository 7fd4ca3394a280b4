"""/proc/net/route: the main IPv4 routing table.

Source: fib_route_seq_show, net/ipv4/fib_trie.c, route(8) reads it.

Of a route with several next hops only the first is shown, and no gateway that is an IPv6 address;
broadcast and multicast routes are left out, so are all other tables (fib_trie has them).
`unreachable` and `prohibit` routes are marked RTF_REJECT; a `blackhole` is not, and shows only by
its lack of a device. Until a namespace has its first route the file is empty, without even a
header.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import flags, hexadecimal, ipv4, unsigned
from procmirror.decoding.table import Row, table
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.network import ROUTE_FLAGS


class Route(Record, frozen=True):
    """One route."""

    iface: Annotated[str | None, doc("Interface; null for a route without one")]
    destination: Annotated[str, doc("The network's address")]
    prefix_length: Annotated[int, doc("Bits of the network mask that are set", "bits")]
    gateway: Annotated[str | None, doc("Next hop; null for a destination on the link")]
    flags: Annotated[list[str], doc("RTF_*")]
    ref_cnt: Annotated[int, doc("Unused: always 0")]
    use: Annotated[int, doc("Unused: always 0")]
    metric: Annotated[int, doc("Priority: the least is preferred")]
    mask: Annotated[str, doc("Network mask")]
    mtu: Annotated[
        int | None, doc("Announced TCP segment size plus 40; null if the route sets none", "bytes")
    ]
    window: Annotated[
        int | None, doc("Limit of the TCP window; null if the route sets none", "bytes")
    ]
    irtt: Annotated[
        float | None, doc("Round trip time to begin with; null if the route sets none", "seconds")
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Route]:
    """The routes in the kernel's order: by destination."""
    return table(raw, "Iface Destination Gateway Flags", _route) if raw.strip() else []


def _route(row: Row) -> Route:
    mask, gateway = row("Flags", hexadecimal), row("Gateway", ipv4)
    network = row("Mask", lambda digits: (hexadecimal(digits).bit_count(), ipv4(digits)))
    return Route(
        iface=row("Iface", interface),
        destination=row("Destination", ipv4),
        prefix_length=network[0],
        gateway=gateway if mask & 2 else None,
        flags=flags(mask, ROUTE_FLAGS),
        ref_cnt=row("RefCnt", int),
        use=row("Use", int),
        metric=row("Metric", unsigned),  # signed in older kernels
        mask=network[1],
        mtu=row.may("MTU", int) or None,
        window=row.may("Window", int) or None,
        irtt=(row.may("IRTT", int) or 0) / 1000 or None,
        extra=row.extra(),
    )


def interface(name: bytes) -> str | None:
    """The name of the interface; None for `*`, which stands for none."""
    return None if name == b"*" else decoded(name)


def text(routes: list[Route], _: Machine) -> str:
    """One route a line."""
    return columns(
        map(_row, routes), ("DESTINATION", "GATEWAY", "DEVICE", "METRIC", "OPTIONS"), right=(3,)
    )


def _row(one: Route) -> list[object]:
    network = f"{one.destination}/{one.prefix_length}" if one.prefix_length else "default"
    return [network, _gateway(one), one.iface or "-", one.metric, ", ".join(_options(one))]


def _gateway(one: Route) -> str:
    if "RTF_REJECT" in one.flags:
        return "unreachable"
    return one.gateway or ("on-link" if one.iface else "no-device")


def _options(one: Route) -> list[str]:
    # The kernel's column MTU is no MTU: it is what ip(8) calls advmss, and 40.
    segment = one.mtu and one.mtu - 40
    found = {"advmss": segment, "window": one.window, "irtt": one.irtt and f"{one.irtt:g}s"}
    return [f"{name} {value}" for name, value in found.items() if value is not None]
