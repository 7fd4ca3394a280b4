"""/proc/PID/io: what a process or thread read and wrote.

Source: proc_pid_io(5), do_io_accounting in fs/proc/base.c.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decode.shapes import known, pairs
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc


class Io(Record, frozen=True):
    """The counters; of a process with those of its ended threads and of children waited for."""

    rchar: Annotated[
        int, doc("Read by system calls, from caches, pipes and terminals too", "bytes")
    ]
    wchar: Annotated[int, doc("Written by system calls", "bytes")]
    syscr: Annotated[int, doc("System calls that read")]
    syscw: Annotated[int, doc("System calls that wrote")]
    read_bytes: Annotated[int, doc("Fetched from storage", "bytes")]
    write_bytes: Annotated[int, doc("Sent to storage, or waiting in the page cache to be", "bytes")]
    cancelled_write_bytes: Annotated[
        int, doc("Of write_bytes, what never reached storage: truncated before", "bytes")
    ]
    extra: Extra = UNSET


# What every kernel since 2.6.20 says, in this order.
_KEYS = [f"{name}:".encode() for name in Io.__struct_fields__[:-1]]


def decode(raw: bytes, _: Machine) -> Io:
    """The counters of the file."""
    words = raw.split()
    if words[::2] == _KEYS:
        values: list[Any] = list(map(int, words[1::2]))
        return Io(*values)
    return known(Io, {key: decoded(value) for key, value in pairs(raw)})
