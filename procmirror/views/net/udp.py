"""/proc/net/{udp,udplite,icmp} and their `6`: datagram sockets.

Source: proc_pid_net(5), net/ipv4/udp.c, net/ipv4/ping.c.

The kernel fills the columns of TCP's timers with zeros. The port of an icmp (ping) socket is its
identifier.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decode.shapes import surplus
from procmirror.decode.text import columns
from procmirror.decode.view import Extra, Machine, doc
from procmirror.views.net import inet


class Datagram(inet.Socket, frozen=True):
    """One datagram socket."""

    drops: Annotated[int, doc("Datagrams lost because the queue was full, or a checksum wrong")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Datagram]:
    """The sockets in the kernel's order."""
    return [Datagram(**fields(words, machine)) for words in inet.rows(raw)]


def fields(words: list[bytes], machine: Machine) -> dict[str, Any]:
    """The fields of one row."""
    return {**inet.common(words, machine), "drops": int(words[12]), "extra": surplus(words, 13)}


def text(sockets: list[Datagram], _: Machine) -> str:
    """One socket a line, as `ss -uan` has them, with what was lost."""
    rows = [(*inet.cells(one), one.drops) for one in sockets]
    return columns(rows, (*inet.HEADER, "Drops"), right=(1, 2, 7))
