"""/proc/net/snmp: the counters that the standards demand of IPv4, ICMP, TCP and UDP.

Source: net/ipv4/proc.c, RFC 2011, 2012, 2013.

Pairs of lines: a group with the names, the same group with the numbers. Ip and Tcp begin with
settings; all else is counted since the namespace was made, but for Tcp's CurrEstab. IcmpMsg, by the
number of the type, exists from the first message on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from procmirror.decoding.shapes import headed_counters, known
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.views.net.netstat import group_text

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
        str, doc("Whether packets are forwarded: `forwarding` or `not-forwarding`")
    ]
    DefaultTTL: Annotated[int, doc("Hops that a packet may live if nobody says otherwise")]
    InReceives: Annotated[int, counted("Received", "packets")]
    InHdrErrors: Annotated[int, counted("Dropped for errors in the header", "packets")]
    InAddrErrors: Annotated[
        int, counted("Dropped for an address that is not valid here", "packets")
    ]
    ForwDatagrams: Annotated[int, counted("Forwarded", "packets")]
    InUnknownProtos: Annotated[int, counted("Dropped: nobody takes their protocol", "packets")]
    InDiscards: Annotated[int, counted("Received without error and dropped", "packets")]
    InDelivers: Annotated[int, counted("Delivered to a protocol", "packets")]
    OutRequests: Annotated[int, counted("Handed over by protocols to be sent", "packets")]
    OutDiscards: Annotated[int, counted("Dropped before they were sent", "packets")]
    OutNoRoutes: Annotated[int, counted("Dropped for want of a route", "packets")]
    ReasmTimeout: Annotated[int, counted("How often fragments waited in vain for the others")]
    ReasmReqds: Annotated[int, counted("Fragments received", "packets")]
    ReasmOKs: Annotated[int, counted("Packets put together from fragments", "packets")]
    ReasmFails: Annotated[int, counted("Failures to put fragments together")]
    FragOKs: Annotated[int, counted("Fragmented", "packets")]
    FragFails: Annotated[int, counted("Dropped because they could not be fragmented", "packets")]
    FragCreates: Annotated[int, counted("Fragments made", "packets")]
    OutTransmits: Annotated[
        int | None, counted("Sent, forwarded ones too; null before Linux 6.1", "packets")
    ] = None
    extra: Extra = UNSET


class Tcp(Record, frozen=True, kw_only=True):
    """TCP: four settings, then counters."""

    RtoAlgorithm: Annotated[str, doc("How the retransmission timeout is found")]
    RtoMin: Annotated[float, doc("Least retransmission timeout", "seconds")]
    RtoMax: Annotated[float, doc("Greatest retransmission timeout", "seconds")]
    MaxConn: Annotated[int | None, doc("Limit of connections; null: none")]
    ActiveOpens: Annotated[int, counted("Connections begun by this side")]
    PassiveOpens: Annotated[int, counted("Connections begun by others")]
    AttemptFails: Annotated[int, counted("Connections that failed before they were established")]
    EstabResets: Annotated[int, counted("Established connections that were reset")]
    CurrEstab: Annotated[int, doc("Connections now established, or closed by the peer only")]
    InSegs: Annotated[int, counted("Segments received")]
    OutSegs: Annotated[int, counted("Segments sent, repeated ones not counted")]
    RetransSegs: Annotated[int, counted("Segments sent again")]
    InErrs: Annotated[int, counted("Segments received with errors")]
    OutRsts: Annotated[int, counted("Resets sent")]
    InCsumErrors: Annotated[
        int | None, counted("Segments with a wrong checksum; null before Linux 3.10")
    ] = None
    extra: Extra = UNSET


class Snmp(Record, frozen=True):
    """The groups; those that are only counters keep the kernel's own names."""

    Ip: Ip
    Icmp: Annotated[dict[str, int], counted("ICMP messages by kind and direction")]
    IcmpMsg: Annotated[
        dict[str, int] | None,
        counted("ICMP messages by direction and number of the type; null before the first"),
    ]
    Tcp: Tcp
    Udp: Annotated[dict[str, int], counted("UDP datagrams and what became of them")]
    UdpLite: Annotated[
        dict[str, int] | None, counted("UDP-Lite datagrams; null where the kernel has no UDP-Lite")
    ]
    extra: Annotated[
        dict[str, dict[str, int]] | UnsetType, counted("Groups unknown to this version")
    ] = UNSET


def decode(raw: bytes, _: Machine) -> Snmp:
    """The groups, the timeouts of Tcp in seconds."""
    groups = headed_counters(raw)
    ip, tcp = groups.pop("Ip"), groups.pop("Tcp")
    forwarding, algorithm, most = ip["Forwarding"], tcp["RtoAlgorithm"], tcp["MaxConn"]
    settings = {
        "RtoAlgorithm": _ALGORITHMS.get(algorithm) or str(algorithm),
        "RtoMin": tcp["RtoMin"] / 1000,
        "RtoMax": tcp["RtoMax"] / 1000,
        "MaxConn": None if most < 0 else most,
    }
    return Snmp(
        known(Ip, {**ip, "Forwarding": _FORWARDING.get(forwarding) or str(forwarding)}),
        groups.pop("Icmp"),
        groups.pop("IcmpMsg", None),
        known(Tcp, {**tcp, **settings}),
        groups.pop("Udp"),
        groups.pop("UdpLite", None),
        groups or UNSET,
    )


def text(snmp: Snmp, _: Machine) -> Iterator[str]:
    """What counted anything, group by group."""
    for name, group in msgspec.to_builtins(snmp).items():
        for title, counters in group.items() if name == "extra" else [(name, group)]:
            if counters is not None:
                extra = counters.pop("extra", {})
                yield group_text(title, {**counters, **extra})
