"""/proc/net/netstat: further counters of TCP, IP and Multipath TCP.

Source: net/ipv4/proc.c, snmp_counter.rst of the kernel.

Pairs of lines: a group with the names, the same group with the numbers. nstat(8) shows a name as
`TcpExtListenDrops`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import UNSET, UnsetType

from procmirror.decoding.shapes import headed_counters
from procmirror.decoding.text import columns, interval, printable
from procmirror.decoding.view import Machine, Record, counted


class Netstat(Record, frozen=True):
    """The groups, each with the kernel's own names."""

    TcpExt: Annotated[
        dict[str, int | float],
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
        dict[str, dict[str, int]] | UnsetType, counted("Groups unknown to this version")
    ] = UNSET


def decode(raw: bytes, _: Machine) -> Netstat:
    """The groups and their counters.

    The one duration among them, in milliseconds there, in seconds.
    """
    groups = headed_counters(raw)
    tcp: dict[str, int | float] = {**groups.pop("TcpExt")}
    if "TCPMemoryPressuresChrono" in tcp:
        tcp["TCPMemoryPressuresChrono"] /= 1000
    return Netstat(tcp, groups.pop("IpExt", None), groups.pop("MPTcpExt", None), groups or UNSET)


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
