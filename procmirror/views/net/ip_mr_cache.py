"""/proc/net/ip_mr_cache and ip6_mr_cache: the multicast routes of the default table.

Source: ipmr_mfc_seq_show in net/ipv4/ipmr.c and net/ipv6/ip6mr.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import counter, ipv4, ipv6, number
from procmirror.decoding.table import Rows, columns_of, rows
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Record, counted, doc


class Output(Record, frozen=True):
    """One interface to which a route forwards."""

    vif: Annotated[int, doc("Its number in ip_mr_vif or ip6_mr_vif")]
    ttl: Annotated[int, doc("Packets with a larger time to live only are forwarded to it")]


class Route(Record, frozen=True):
    """One route: a group, and who sends to it."""

    group: Annotated[str, doc("Address of the group")]
    origin: Annotated[str, doc("Address of the sender; `0.0.0.0` or `::` is any")]
    iif: Annotated[
        int | None,
        doc(
            "Interface on which its packets must arrive, by the number in ip_mr_vif or ip6_mr_vif; "
            "null while the routing program has not said (unresolved)"
        ),
    ]
    pkts: Annotated[int, counted("Packets")]
    bytes: Annotated[int, counted("The same in bytes", "bytes")]
    wrong: Annotated[int, counted("Packets that arrived on another interface")]
    oifs: Annotated[list[Output], doc("Where it forwards; empty: nowhere")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Rows[Route]:
    """The routes in the kernel's order, those without an answer last."""
    columns_of(raw, "Group Origin Iif")
    return rows(raw, _route, 1)


def _route(line: bytes) -> Route:
    group, origin, iif, pkts, sent, wrong, *rest = line.split()
    address: Callable[[bytes], str] = _ipv6 if b":" in group else ipv4
    oifs = [word for word in rest if b":" in word]
    return Route(
        group=address(group),
        origin=address(origin),
        iif=number(iif) if number(iif) >= 0 else None,
        pkts=counter(pkts),
        bytes=counter(sent),
        wrong=counter(wrong),
        oifs=[Output(*map(number, word.split(b":"))) for word in oifs],
        extra={str(at): decoded(word) for at, word in enumerate(rest, 7) if b":" not in word}
        or UNSET,
    )


def _ipv6(word: bytes) -> str:
    return ipv6(word.replace(b":", b""))


def text(routes: list[Route], _: Machine) -> str:
    """One route a line; interfaces of multicast routing by their numbers."""
    lines = [
        (
            one.group,
            one.origin,
            "unresolved" if one.iif is None else one.iif,
            ",".join(str(to.vif) for to in one.oifs) or "-",
            one.pkts,
            size(one.bytes),
            one.wrong,
        )
        for one in routes
    ]
    header = ("GROUP", "ORIGIN", "IN-VIF", "OUT-VIFS", "PACKETS", "BYTES", "WRONG-VIF")
    return columns(lines, header, right=(4, 5, 6)) if lines else "no routes\n"
