"""/proc/net/netfilter/nfnetlink_queue: who decides about queued packets.

Source: seq_show in net/netfilter/nfnetlink_queue.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import lines, surplus
from procmirror.decode.view import Extra, Machine, Record, doc
from procmirror.kernel.sockets import COPY_MODES


class Queue(Record, frozen=True):
    """One queue of the NFQUEUE target; the kernel prints no names for the columns."""

    queue: Annotated[int, doc("Number of the queue")]
    peer_portid: Annotated[int, doc("Netlink port that decides: a pid, or any number")]
    queue_total: Annotated[int, doc("Packets that wait for a decision")]
    copy_mode: Annotated[str, doc("What is sent of a packet: `none`, `meta`, `packet`")]
    copy_range: Annotated[int, doc("How much of a packet is sent", "bytes")]
    queue_dropped: Annotated[int, doc("Packets lost because the queue was full")]
    user_dropped: Annotated[int, doc("Packets lost because the netlink socket was full")]
    id_sequence: Annotated[int, doc("Number of the last packet")]
    use: Annotated[int, doc("Always 1")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Queue]:
    """The queues in the kernel's order."""
    return [_queue(line.split()) for line in lines(raw)]


def _queue(words: list[bytes]) -> Queue:
    queue, peer, total, mode, *rest = (int(word) for word in words[:9])
    size, dropped, user_dropped, sequence, use = rest
    named = COPY_MODES.get(mode) or str(mode)
    return Queue(
        queue, peer, total, named, size, dropped, user_dropped, sequence, use, surplus(words, 9)
    )
