"""/proc/PID/io: what a process or thread read and wrote.

Source: proc_pid_io(5), do_io_accounting in fs/proc/base.c.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import counter, known, pairs
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Io(Record, frozen=True):
    """The counters; of a process with those of its ended threads and of children waited for."""

    rchar: Annotated[
        int | None, doc("Read by system calls, from caches, pipes and terminals too", "bytes")
    ] = None
    wchar: Annotated[int | None, doc("Written by system calls", "bytes")] = None
    syscr: Annotated[int | None, doc("System calls that read")] = None
    syscw: Annotated[int | None, doc("System calls that wrote")] = None
    read_bytes: Annotated[int | None, doc("Fetched from storage", "bytes")] = None
    write_bytes: Annotated[
        int | None, doc("Sent to storage, or waiting in the page cache to be", "bytes")
    ] = None
    cancelled_write_bytes: Annotated[
        int | None, doc("Of write_bytes, what never reached storage: truncated before", "bytes")
    ] = None
    extra: Extra = UNSET


# What every kernel since 2.6.20 says, in this order.
_KEYS = [f"{name}:".encode() for name in Io.__struct_fields__[:-1]]


def decode(raw: bytes, _: Machine) -> Io:
    """The counters of the file."""
    words = raw.split()
    if words[::2] == _KEYS:
        values: list[Any] = list(map(counter, words[1::2]))
        return Io(*values)
    return known(Io, {key: decoded(value) for key, value in pairs(raw)})
