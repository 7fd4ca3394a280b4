"""/proc/net/netfilter/nfnetlink_log: who receives logged packets.

Source: seq_show in net/netfilter/nfnetlink_log.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.table import Row, headless
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.sockets import COPY_MODES


class Group(Record, frozen=True):
    """One group of the NFLOG target; the kernel prints no names for the columns."""

    group: Annotated[int, doc("Number of the group")]
    peer_portid: Annotated[int, doc("Netlink port that listens: a pid, or any number")]
    queue_len: Annotated[int, doc("Packets that wait to be sent together")]
    copy_mode: Annotated[str, doc("What is sent of a packet: `none`, `meta`, `packet`")]
    copy_range: Annotated[int, doc("How much of a packet is sent", "bytes")]
    flush_timeout: Annotated[float, doc("How long a packet may wait", "seconds")]
    use: Annotated[int, doc("References in the kernel")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Group]:
    """The groups in the kernel's order."""
    return headless(raw, " ".join(Group.__struct_fields__[:-1]), _group)


def _group(row: Row) -> Group:
    return Group(
        group=row("group", int),
        peer_portid=row("peer_portid", int),
        queue_len=row("queue_len", int),
        copy_mode=row("copy_mode", lambda mode: COPY_MODES.get(int(mode)) or str(int(mode))),
        copy_range=row("copy_range", int),
        flush_timeout=row("flush_timeout", int) / 100,
        use=row("use", int),
        extra=row.extra(),
    )
