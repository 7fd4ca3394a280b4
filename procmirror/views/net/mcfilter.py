"""/proc/net/mcfilter and mcfilter6: source filters of multicast groups.

Source: proc_pid_net(5), net/ipv4/igmp.c, net/ipv6/mcast.c.

Unlike elsewhere the IPv4 addresses are numbers in network order, `0xe0000001`. Names of interfaces
are cut to six bytes.
"""

from __future__ import annotations

from socket import AF_INET, inet_ntop
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import hexadecimal, ipv6
from procmirror.decoding.table import Row, columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Source(Record, frozen=True):
    """One source of one group on one interface."""

    idx: Annotated[int, doc("Number of the interface")]
    device: Annotated[str, doc("Name of the interface, its first six bytes")]
    mca: Annotated[str, doc("Address of the group")]
    src: Annotated[str, doc("Address of the source")]
    inc: Annotated[int, doc("Sockets that receive from this source")]
    exc: Annotated[int, doc("Sockets that receive from all but this source")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Source]:
    """The sources in the kernel's order: by interface and group."""
    columns_of(raw, "Idx Device")
    return rows(raw, lambda line: _source(Row(_NAMES, line.split())), 1)


# The header of mcfilter has blanks and other words in the names: Multicast Address, Source Address.
_NAMES = ("idx", "device", "mca", "src", "inc", "exc")


def _source(row: Row) -> Source:
    return Source(
        idx=row("idx", int),
        device=row("device", decoded),
        mca=row("mca", _address),
        src=row("src", _address),
        inc=row("inc", int),
        exc=row("exc", int),
        extra=row.extra(),
    )


def _address(word: bytes) -> str:
    return (
        inet_ntop(AF_INET, hexadecimal(word).to_bytes(4, "big"))
        if word.startswith(b"0x")
        else ipv6(word)
    )
