"""/proc/dma: the ISA DMA channels in use (proc_dma(5), kernel/dma.c)."""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import pairs
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Channel(Record, frozen=True):
    """One channel."""

    channel: Annotated[int, doc("Its number")]
    device: Annotated[str, doc("Who uses it")]


def decode(raw: bytes, _: Machine) -> list[Channel]:
    """One channel a line; without ISA the kernel says `No DMA`."""
    if raw.strip() == b"No DMA":
        return []
    return [Channel(int(channel), decoded(device)) for channel, device in pairs(raw)]
