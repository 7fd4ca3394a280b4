"""/proc/net/igmp6: IPv6 multicast groups by interface.

Source: proc_pid_net(5), igmp6_mc_seq_show in net/ipv6/mcast.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import flags, ipv6, lines, surplus
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc
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
    return [_group(line.split(), machine) for line in lines(raw)]


def _group(words: list[bytes], machine: Machine) -> Group:
    names = flags(int(words[4], 16), MULTICAST_FLAGS)
    return Group(
        idx=int(words[0]),
        device=decoded(words[1]),
        group=ipv6(words[2]),
        users=int(words[3]),
        flags=names,
        timer=int(words[5]) / machine.ticks if "MAF_TIMER_RUNNING" in names else None,
        extra=surplus(words, 6),
    )
