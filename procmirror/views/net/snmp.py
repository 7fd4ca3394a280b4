"""/proc/net/snmp: the counters that the standards demand of IPv4, ICMP, TCP and UDP.

Source: net/ipv4/proc.c, RFC 2011, 2012, 2013.

Pairs of lines: a group with the names, the same group with the numbers. Ip and Tcp begin with
settings; all else is counted since the namespace was made, but for Tcp's CurrEstab. IcmpMsg, by the
number of the type, exists from the first message on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import Counters, headed_counters, record_with_extra
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.views.net.netstat import group_text, numbers_apart

_FORWARDING = {1: "forwarding", 2: "not-forwarding"}  # ipForwarding of RFC 2011
_ALGORITHMS = {
    1: "other",
    2: "constant",
    3: "rsre",
    4: "vanj",
    5: "rfc2988",
}  # tcpRtoAlgorithm of RFC 4022


class Ip(Record, frozen=True, kw_only=True):
    """IPv4: one setting of each kind, then packets."""

    Forwarding: Annotated[
        str | None, doc("Whether packets are forwarded: `forwarding` or `not-forwarding`")
    ] = None
    DefaultTTL: Annotated[
        int | None, doc("Hops that a packet may live if nobody says otherwise")
    ] = None
    InReceives: Annotated[int | None, counted("Received", "packets")] = None
    InHdrErrors: Annotated[int | None, counted("Dropped for errors in the header", "packets")] = (
        None
    )
    InAddrErrors: Annotated[
        int | None, counted("Dropped for an address that is not valid here", "packets")
    ] = None
    ForwDatagrams: Annotated[int | None, counted("Forwarded", "packets")] = None
    InUnknownProtos: Annotated[
        int | None, counted("Dropped: nobody takes their protocol", "packets")
    ] = None
    InDiscards: Annotated[int | None, counted("Received without error and dropped", "packets")] = (
        None
    )
    InDelivers: Annotated[int | None, counted("Delivered to a protocol", "packets")] = None
    OutRequests: Annotated[
        int | None, counted("Handed over by protocols to be sent", "packets")
    ] = None
    OutDiscards: Annotated[int | None, counted("Dropped before they were sent", "packets")] = None
    OutNoRoutes: Annotated[int | None, counted("Dropped for want of a route", "packets")] = None
    ReasmTimeout: Annotated[
        int | None, counted("How often fragments waited in vain for the others")
    ] = None
    ReasmReqds: Annotated[int | None, counted("Fragments received", "packets")] = None
    ReasmOKs: Annotated[int | None, counted("Packets put together from fragments", "packets")] = (
        None
    )
    ReasmFails: Annotated[int | None, counted("Failures to put fragments together")] = None
    FragOKs: Annotated[int | None, counted("Fragmented", "packets")] = None
    FragFails: Annotated[
        int | None, counted("Dropped because they could not be fragmented", "packets")
    ] = None
    FragCreates: Annotated[int | None, counted("Fragments made", "packets")] = None
    OutTransmits: Annotated[
        int | None, counted("Sent, forwarded ones too; null before Linux 6.1", "packets")
    ] = None
    extra: Extra = UNSET


class Tcp(Record, frozen=True, kw_only=True):
    """TCP: four settings, then counters."""

    RtoAlgorithm: Annotated[str | None, doc("How the retransmission timeout is found")] = None
    RtoMin: Annotated[float | None, doc("Least retransmission timeout", "seconds")] = None
    RtoMax: Annotated[float | None, doc("Greatest retransmission timeout", "seconds")] = None
    MaxConn: Annotated[int | None, doc("Limit of connections; null: none")] = None
    ActiveOpens: Annotated[int | None, counted("Connections begun by this side")] = None
    PassiveOpens: Annotated[int | None, counted("Connections begun by others")] = None
    AttemptFails: Annotated[
        int | None, counted("Connections that failed before they were established")
    ] = None
    EstabResets: Annotated[int | None, counted("Established connections that were reset")] = None
    CurrEstab: Annotated[
        int | None, doc("Connections now established, or closed by the peer only")
    ] = None
    InSegs: Annotated[int | None, counted("Segments received")] = None
    OutSegs: Annotated[int | None, counted("Segments sent, repeated ones not counted")] = None
    RetransSegs: Annotated[int | None, counted("Segments sent again")] = None
    InErrs: Annotated[int | None, counted("Segments received with errors")] = None
    OutRsts: Annotated[int | None, counted("Resets sent")] = None
    InCsumErrors: Annotated[
        int | None, counted("Segments with a wrong checksum; null before Linux 3.10")
    ] = None
    extra: Extra = UNSET


class Snmp(Record, frozen=True):
    """The groups; those that are only counters keep the kernel's own names."""

    Ip: Ip | None
    Icmp: Annotated[dict[str, int] | None, counted("ICMP messages by kind and direction")]
    IcmpMsg: Annotated[
        dict[str, int] | None,
        counted("ICMP messages by direction and number of the type; null before the first"),
    ]
    Tcp: Tcp | None
    Udp: Annotated[dict[str, int] | None, counted("UDP datagrams and what became of them")]
    UdpLite: Annotated[
        dict[str, int] | None, counted("UDP-Lite datagrams; null where the kernel has no UDP-Lite")
    ]
    extra: Annotated[
        dict[str, Counters] | UnsetType,
        doc("Groups unknown to this version, and of the others what is no number"),
    ] = UNSET


def decode(raw: bytes, _: Machine) -> Snmp:
    """The groups, the timeouts of Tcp in seconds."""
    groups = headed_counters(raw)
    if not any(groups.values()):
        raise expected("two lines Ip: …", raw)
    ip, tcp = groups.pop("Ip", None), groups.pop("Tcp", None)
    names = ("Icmp", "IcmpMsg", "Udp", "UdpLite")
    told = {name: numbers_apart(groups.pop(name)) for name in names if name in groups}
    icmp, messages, udp, lite = (told[name][0] if name in told else None for name in names)
    odd = {name: texts for name, (_, texts) in told.items() if texts}
    return Snmp(
        record_with_extra(Ip, _with(ip, _OF_IP)) if ip else None,
        icmp,
        messages,
        record_with_extra(Tcp, _with(tcp, _OF_TCP)) if tcp else None,
        udp,
        lite,
        {**odd, **groups} or UNSET,
    )


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000


# The settings among the counters, and how their numbers are read.
_OF_IP: dict[str, Callable[[int], Any]] = {
    "Forwarding": lambda number: _FORWARDING.get(number) or str(number)
}
_OF_TCP: dict[str, Callable[[int], Any]] = {
    "RtoAlgorithm": lambda number: _ALGORITHMS.get(number) or str(number),
    "RtoMin": _seconds,
    "RtoMax": _seconds,
    "MaxConn": lambda number: None if number < 0 else number,
}


def _with(counters: Counters, settings: Mapping[str, Callable[[int], Any]]) -> dict[str, Any]:
    """The counters with the settings as they are to be shown; a text stays one."""
    read = {
        name: make(value)
        for name, make in settings.items()
        if isinstance(value := counters.get(name), int)
    }
    return {**counters, **read}


def text(snmp: Snmp, _: Machine) -> Iterator[str]:
    """What counted anything, group by group."""
    for name, group in msgspec.to_builtins(snmp).items():
        for title, counters in group.items() if name == "extra" else [(name, group)]:
            if counters is not None:
                extra = counters.pop("extra", {})
                yield group_text(title, {**counters, **_no_limit(counters), **extra})


def _no_limit(counters: Mapping[str, Any]) -> dict[str, str]:
    """The limit of connections where there is none: it is a setting, and neither 0 nor unknown."""
    return {"MaxConn": "unlimited"} if counters.get("MaxConn", 0) is None else {}
