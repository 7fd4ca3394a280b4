"""/proc/net/igmp6: IPv6 multicast groups by interface.

Source: proc_pid_net(5), igmp6_mc_seq_show in net/ipv6/mcast.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import flags, hexadecimal, ipv6
from procmirror.decoding.table import Row, headless
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.sockets import MULTICAST_FLAGS


class Group(Record, frozen=True):
    """One group on one interface."""

    idx: Annotated[int, doc("Number of the interface")]
    device: Annotated[str, doc("Name of the interface")]
    group: Annotated[str, doc("Address of the group")]
    users: Annotated[int, doc("How often it was joined")]
    flags: Annotated[list[str], doc("MAF_*: where its reports stand; `MAF_NOREPORT` has none")]
    timer: Annotated[
        float | None, doc("When a report will be sent, from now; null if none will", "seconds")
    ]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Group]:
    """The groups in the kernel's order: by interface."""
    return headless(raw, "idx device group users flags timer", lambda row: _group(row, machine))


def _group(row: Row, machine: Machine) -> Group:
    names = row("flags", lambda word: flags(hexadecimal(word), MULTICAST_FLAGS))
    timer = row("timer", int)
    return Group(
        idx=row("idx", int),
        device=row("device", decoded),
        group=row("group", ipv6),
        users=row("users", int),
        flags=names,
        timer=timer / machine.ticks if "MAF_TIMER_RUNNING" in names else None,
        extra=row.extra(),
    )


text = listing(
    "DEVICE device", "GROUP group", "USERS users number", "FLAGS flags", none="no groups\n"
)
