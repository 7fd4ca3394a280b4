"""/proc/partitions: the disks and partitions with their sizes.

Source: proc_partitions(5), block/genhd.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decode.shapes import lines
from procmirror.decode.text import decoded
from procmirror.decode.view import Machine, Record, doc


class Partition(Record, frozen=True):
    """One disk or partition."""

    device: Annotated[str, doc("Device number, major:minor")]
    size: Annotated[int, doc("Its size", "bytes")]
    name: Annotated[str, doc("Name of the device")]


def decode(raw: bytes, _: Machine) -> list[Partition]:
    """The lines after the header and its empty line; a block is 1024 bytes."""
    rows = (line.split(None, 3) for line in lines(raw)[2:])
    return [
        Partition(f"{int(major)}:{int(minor)}", int(blocks) * 1024, decoded(name))
        for major, minor, blocks, name in rows
    ]
