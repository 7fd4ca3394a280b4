"""/proc/net/netfilter/nfnetlink_log: who receives logged packets.

Source: seq_show in net/netfilter/nfnetlink_log.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import lines, surplus
from procmirror.decode.view import Extra, Machine, Record, doc
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
    return [_group(line.split()) for line in lines(raw)]


def _group(words: list[bytes]) -> Group:
    group, peer, length, mode, size, timeout, use = (int(word) for word in words[:7])
    return Group(
        group,
        peer,
        length,
        COPY_MODES.get(mode) or str(mode),
        size,
        timeout / 100,
        use,
        surplus(words, 7),
    )
