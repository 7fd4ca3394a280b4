"""/proc/net/{udp,udplite,icmp} and their `6`: datagram sockets.

Source: proc_pid_net(5), net/ipv4/udp.c, net/ipv4/ping.c.

The kernel fills the columns of TCP's timers with zeros. The port of an icmp (ping) socket is its
identifier.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import counter, extra_by_position
from procmirror.decoding.text import columns
from procmirror.decoding.view import Extra, Machine, counted
from procmirror.views.net import inet


class Datagram(inet.Socket, frozen=True):
    """One datagram socket."""

    drops: Annotated[
        int | None,
        counted(
            "Datagrams lost because the queue was full, or a checksum wrong; null before 2.6.27"
        ),
    ]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Datagram]:
    """The sockets in the kernel's order."""
    return inet.rows(raw, lambda words: Datagram(**fields(words, machine)))


def fields(words: list[bytes], machine: Machine) -> dict[str, Any]:
    """The fields of one row."""
    return {
        **inet.common(words, machine),
        "drops": counter(words[12]) if len(words) > 12 else None,
        "extra": extra_by_position(words, 13),
    }


def text(sockets: list[Datagram], _: Machine) -> str:
    """One socket a line, as `ss -uan` has them, with what was lost."""
    rows = [(*inet.cells(one), "-" if one.drops is None else one.drops) for one in sockets]
    return columns(rows, (*inet.HEADER, "DROPS"), right=(1, 2, 7))
