"""/proc/partitions: the disks and partitions with their sizes.

Source: proc_partitions(5), block/genhd.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import scaled
from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Partition(Record, frozen=True):
    """One disk or partition."""

    device: Annotated[str, doc("Device number, major:minor")]
    size: Annotated[int, doc("Its size", "bytes")]
    name: Annotated[str, doc("Name of the device")]


def decode(raw: bytes, _: Machine) -> list[Partition]:
    """The lines after the header and its empty line; a block is 1024 bytes.

    The kernel prints the header with the first disk (show_partition_start): without one the file
    is empty.
    """
    if raw.strip():
        columns_of(raw, "major minor #blocks name")
    return rows(raw, _partition, 1)


def _partition(line: bytes) -> Partition:
    major, minor, blocks, name = line.split(None, 3)
    return Partition(f"{int(major)}:{int(minor)}", scaled(blocks, 1024), decoded(name))


text = listing("DEVICE device", "SIZE size bytes", "NAME name", none="no partitions\n")
