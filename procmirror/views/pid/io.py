"""/proc/PID/io: what a process or thread read and wrote.

Source: proc_pid_io(5), do_io_accounting in fs/proc/base.c.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import counter, pairs, record_with_extra
from procmirror.decoding.text import columns, decoded, page, size
from procmirror.decoding.view import Extra, Machine, Record, counted


class Io(Record, frozen=True):
    """The counters; of a process with those of its ended threads and of children waited for."""

    rchar: Annotated[
        int | None, counted("Read by system calls, from caches, pipes and terminals too", "bytes")
    ] = None
    wchar: Annotated[int | None, counted("Written by system calls", "bytes")] = None
    syscr: Annotated[int | None, counted("System calls that read")] = None
    syscw: Annotated[int | None, counted("System calls that wrote")] = None
    read_bytes: Annotated[int | None, counted("Fetched from storage", "bytes")] = None
    write_bytes: Annotated[
        int | None, counted("Sent to storage, or waiting in the page cache to be", "bytes")
    ] = None
    cancelled_write_bytes: Annotated[
        int | None, counted("Of write_bytes, what never reached storage: truncated before", "bytes")
    ] = None
    extra: Extra = UNSET


# What every kernel since 2.6.20 says, in this order.
_KEYS = [f"{name}:".encode() for name in Io.__struct_fields__[:-1]]


def decode(raw: bytes, _: Machine) -> Io:
    """The counters of the file."""
    words = raw.split()
    if words[::2] == _KEYS and b"".join(words[1::2]).isdigit():
        with suppress(ValueError):
            values: list[Any] = list(map(counter, words[1::2]))
            return Io(*values)
    return record_with_extra(Io, {key: decoded(value) for key, value in pairs(raw)})


def text(io: Io, _: Machine) -> str:
    """What was read and written, by calls and from storage, with the size of a call."""
    rows = [
        ("read", size(io.rchar), _shown(io.syscr), _each(io.rchar, io.syscr), size(io.read_bytes)),
        (
            "written",
            size(io.wchar),
            _shown(io.syscw),
            _each(io.wchar, io.syscw),
            size(io.write_bytes),
        ),
    ]
    cancelled = page([("cancelled", io.cancelled_write_bytes and size(io.cancelled_write_bytes))])
    header = ("WHAT", "BY-CALLS", "CALLS", "EACH", "STORAGE")
    return columns(rows, header, right=range(1, 5)) + (f"\n{cancelled}" if cancelled else "")


def _shown(count: int | None) -> str:
    return "-" if count is None else str(count)


def _each(amount: int | None, calls: int | None) -> str:
    return size(round(amount / calls)) if amount and calls else "-"
