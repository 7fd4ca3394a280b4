"""The first record of a performance event: perf_event_open(2), and the ring that it writes to."""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import struct

_PERF_EVENT_IOC_ENABLE, _PERF_EVENT_IOC_DISABLE = 0x2400, 0x2401
_PERF_RECORD_SAMPLE = 9
# The ring: one page that describes it, and a power of two of pages for records.
_PAGES = 32
_AT_DATA_HEAD = 1024
_HEADER = struct.Struct("=IHH")


def first_sample(event: int, seconds: float) -> bytes | None:
    """The first PERF_RECORD_SAMPLE of a disabled event, without its header.

    `event` is the descriptor. None if the thread did not run within `seconds`. OSError as the
    kernel's, for instance EPERM beyond kernel.perf_event_mlock_kb.
    """
    page = mmap.PAGESIZE
    with mmap.mmap(event, (1 + _PAGES) * page) as ring:
        fcntl.ioctl(event, _PERF_EVENT_IOC_ENABLE, 0)
        waiting = select.poll()
        waiting.register(event, select.POLLIN)
        waiting.poll(1000 * seconds)
        fcntl.ioctl(event, _PERF_EVENT_IOC_DISABLE, 0)
        (head,) = struct.unpack_from("=Q", ring, _AT_DATA_HEAD)
        return _first(ring[page : page + min(head, _PAGES * page)])


def _first(records: bytes) -> bytes | None:
    at = 0
    while at + _HEADER.size <= len(records):
        kind, _, size = _HEADER.unpack_from(records, at)
        if kind == _PERF_RECORD_SAMPLE:
            return records[at + _HEADER.size : at + size]
        if size < _HEADER.size:
            break
        at += size
    return None


def sampled(event: int, seconds: float) -> bytes | None:
    """What `first_sample` gives; the descriptor is closed."""
    try:
        return first_sample(event, seconds)
    finally:
        os.close(event)
