"""/proc/diskstats: I/O of every disk and partition.

Source: proc_diskstats(5), Documentation/admin-guide/iostats.rst, block/genhd.c.

A sector is 512 bytes here, whatever the disk's own is. Discards came with Linux 4.18, flushes with
5.5; partitions had four columns before 2.6.25: reads, sectors read, writes, sectors written. Linux
2.4 has the columns in `partitions`, with the size in blocks before the name.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import counter, record_with_extra, scaled
from procmirror.decoding.table import rows
from procmirror.decoding.text import columns, decoded, duration, size
from procmirror.decoding.view import Extra, Machine, Record, counted, doc

SECTOR = 512
OLD_PARTITION = ("reads", "bytes_read", "writes", "bytes_written")


class Disk(Record, frozen=True, kw_only=True):
    """One disk or partition; counted since the boot, or since the disk came."""

    device: Annotated[str, doc("Device number, major:minor")]
    name: Annotated[str, doc("Name of the device")]
    reads: Annotated[int, counted("Reads completed")]
    reads_merged: Annotated[int | None, counted("Reads merged with an adjacent one")] = None
    bytes_read: Annotated[int, counted("Read", "bytes")]
    read_time: Annotated[float | None, counted("Time of all reads", "seconds")] = None
    writes: Annotated[int, counted("Writes completed")]
    writes_merged: Annotated[int | None, counted("Writes merged with an adjacent one")] = None
    bytes_written: Annotated[int, counted("Written", "bytes")]
    write_time: Annotated[float | None, counted("Time of all writes", "seconds")] = None
    in_flight: Annotated[int | None, doc("Requests that are in progress now")] = None
    io_time: Annotated[
        float | None, counted("Time in which any request was in progress", "seconds")
    ] = None
    weighted_io_time: Annotated[
        float | None, counted("Time of all requests, waiting ones included", "seconds")
    ] = None
    discards: Annotated[int | None, counted("Discards completed")] = None
    discards_merged: Annotated[int | None, counted("Discards merged with an adjacent one")] = None
    bytes_discarded: Annotated[int | None, counted("Discarded", "bytes")] = None
    discard_time: Annotated[float | None, counted("Time of all discards", "seconds")] = None
    flushes: Annotated[int | None, counted("Flushes completed; of whole disks only")] = None
    flush_time: Annotated[float | None, counted("Time of all flushes", "seconds")] = None
    extra: Extra = UNSET


COLUMNS = Disk.__struct_fields__[2:-1]


def decode(raw: bytes, _: Machine) -> list[Disk]:
    """One entry a line."""
    return rows(raw, lambda line: _disk(line.split()))


def _disk(words: list[bytes]) -> Disk:
    older = {}
    if words[2].isdigit() and not words[3].isdigit():
        older["blocks"] = decoded(words[2])
        words = [*words[:2], *words[3:]]
    major, minor, name, *counts = words
    titles = OLD_PARTITION if len(counts) == len(OLD_PARTITION) else COLUMNS
    values = {title: _unit(title, count) for title, count in zip(titles, counts, strict=False)}
    newer = {
        str(at): decoded(word) for at, word in enumerate(words[3 + len(titles) :], 4 + len(titles))
    }
    return record_with_extra(
        Disk,
        {
            "device": f"{int(major)}:{int(minor)}",
            "name": decoded(name),
            **values,
            **older,
            **newer,
        },
    )


def _unit(title: str, word: bytes) -> int | float:
    if title.startswith("bytes"):
        return scaled(word, SECTOR)
    return counter(word) / 1000 if title.endswith("time") else counter(word)


def text(disks: list[Disk], _: Machine) -> str:
    """The disks that did anything, the busiest first."""
    used = [disk for disk in disks if disk.reads or disk.writes]
    used.sort(key=lambda disk: -(disk.io_time or 0))
    rows = [
        (
            disk.name,
            disk.reads,
            size(disk.bytes_read),
            _each(disk.read_time, disk.reads),
            disk.writes,
            size(disk.bytes_written),
            _each(disk.write_time, disk.writes),
            "-" if disk.in_flight is None else disk.in_flight,
            duration(disk.io_time),
        )
        for disk in used
    ]
    header = (
        "DISK",
        "READS",
        "READ",
        "EACH-READ",
        "WRITES",
        "WRITTEN",
        "EACH-WRITE",
        "NOW",
        "BUSY",
    )
    return columns(rows, header, right=range(1, 9))


def _each(time: float | None, count: int) -> str:
    return "-" if time is None or not count else f"{time / count * 1000:.1f}ms"
