"""/proc/net/netstat: further counters of TCP, IP and Multipath TCP.

Source: net/ipv4/proc.c, snmp_counter.rst of the kernel.

Pairs of lines: a group with the names, the same group with the numbers. nstat(8) shows a name as
`TcpExtListenDrops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import UNSET, UnsetType

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import Counters, headed_counters
from procmirror.decoding.text import columns, interval, printable
from procmirror.decoding.view import Machine, Record, counted, doc


class Netstat(Record, frozen=True):
    """The groups, each with the kernel's own names."""

    TcpExt: Annotated[
        dict[str, int | float] | None,
        counted(
            "TCP beyond the standard's counters: counts, but for TCPMemoryPressuresChrono in "
            "seconds"
        ),
    ]
    IpExt: Annotated[
        dict[str, int] | None, counted("IPv4 beyond the standard's counters; `…Octets` are bytes")
    ] = None
    MPTcpExt: Annotated[dict[str, int] | None, counted("Multipath TCP, since Linux 5.6")] = None
    extra: Annotated[
        dict[str, Counters] | UnsetType,
        doc("Groups unknown to this version, and of the others what is no number"),
    ] = UNSET


def decode(raw: bytes, _: Machine) -> Netstat:
    """The groups and their counters.

    The one duration among them, in milliseconds there, in seconds.
    """
    groups = headed_counters(raw)
    if not any(groups.values()):
        raise expected("two lines TcpExt: …", raw)
    known = {name: numbers_apart(groups.pop(name)) for name in _GROUPS if name in groups}
    tcp: dict[str, int | float] = {**known.get("TcpExt", ({}, {}))[0]}
    if "TCPMemoryPressuresChrono" in tcp:
        tcp["TCPMemoryPressuresChrono"] /= 1000
    ip, mptcp = (known[name][0] if name in known else None for name in _GROUPS[1:])
    odd = {name: texts for name, (_, texts) in known.items() if texts}
    return Netstat(tcp or None, ip, mptcp, {**odd, **groups} or UNSET)


_GROUPS = ("TcpExt", "IpExt", "MPTcpExt")


def numbers_apart(group: Counters) -> tuple[dict[str, int], Counters]:
    """The counters of a group, and what is no number."""
    numbers = {name: value for name, value in group.items() if isinstance(value, int)}
    return numbers, {name: value for name, value in group.items() if name not in numbers}


def text(netstat: Netstat, _: Machine) -> Iterator[str]:
    """What counted anything, group by group."""
    groups = {"TcpExt": netstat.TcpExt, "IpExt": netstat.IpExt, "MPTcpExt": netstat.MPTcpExt}
    for name, counters in [*groups.items(), *(netstat.extra or {}).items()]:
        if counters is not None:
            yield group_text(name, counters)


def group_text(group: str, counters: Mapping[str, str | float | None]) -> str:
    """A group's name and its counters that are not 0; a float is a duration."""
    shown = {
        name: interval(value) if isinstance(value, float) else str(value)
        for name, value in counters.items()
        if value
    }
    wide = max(map(len, shown.values()), default=0)
    rows = [("  " + value.rjust(wide), name) for name, value in shown.items()]
    silent = sum(value == 0 for value in counters.values())
    return printable(group) + (f" ({silent} at 0)" if silent else "") + "\n" + columns(rows)
