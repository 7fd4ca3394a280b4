"""/proc/net/netfilter/nfnetlink_queue: who decides about queued packets.

Source: seq_show in net/netfilter/nfnetlink_queue.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.table import Row, headless
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.sockets import COPY_MODES


class Queue(Record, frozen=True):
    """One queue of the NFQUEUE target; the kernel prints no names for the columns."""

    queue: Annotated[int, doc("Number of the queue")]
    peer_portid: Annotated[int, doc("Netlink port that decides: a pid, or any number")]
    queue_total: Annotated[int, doc("Packets that wait for a decision")]
    copy_mode: Annotated[str, doc("What is sent of a packet: `none`, `meta`, `packet`")]
    copy_range: Annotated[int, doc("How much of a packet is sent", "bytes")]
    queue_dropped: Annotated[int, counted("Packets lost because the queue was full")]
    user_dropped: Annotated[int, counted("Packets lost because the netlink socket was full")]
    id_sequence: Annotated[int, counted("Number of the last packet")]
    use: Annotated[int, doc("Always 1")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Queue]:
    """The queues in the kernel's order."""
    return headless(raw, " ".join(Queue.__struct_fields__[:-1]), _queue)


def _queue(row: Row) -> Queue:
    return Queue(
        queue=row("queue", int),
        peer_portid=row("peer_portid", int),
        queue_total=row("queue_total", int),
        copy_mode=row("copy_mode", lambda mode: COPY_MODES.get(int(mode)) or str(int(mode))),
        copy_range=row("copy_range", int),
        queue_dropped=row("queue_dropped", int),
        user_dropped=row("user_dropped", int),
        id_sequence=row("id_sequence", int),
        use=row("use", int),
        extra=row.extra(),
    )
