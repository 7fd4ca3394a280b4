"""/proc/PID/statm: memory use in pages.

Source: proc_pid_statm(5), proc_pid_statm in fs/proc/array.c. All 0 without memory.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import scaled
from procmirror.decoding.table import Row, words
from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Extra, Machine, Record, doc

_NAMES = "size resident shared text lib data dt"


class Statm(Record, frozen=True):
    """The seven fields, in bytes; `lib` and `dt` are 0 since Linux 2.6."""

    size: Annotated[int | None, doc("Total program size", "bytes")]
    resident: Annotated[int | None, doc("Resident set size", "bytes")]
    shared: Annotated[int | None, doc("Resident pages backed by files or shared memory", "bytes")]
    text: Annotated[int | None, doc("Code", "bytes")]
    lib: Annotated[int | None, doc("Unused since Linux 2.6", "bytes")]
    data: Annotated[int | None, doc("Data and stack", "bytes")]
    dt: Annotated[int | None, doc("Unused since Linux 2.6", "bytes")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> Statm:
    """The fields of the one line."""
    return words(raw, _NAMES, lambda row: _statm(row, machine.page_size))


def _statm(row: Row, page: int) -> Statm:
    sizes: list[Any] = [
        row.tried(name, lambda pages: scaled(pages, page)) for name in _NAMES.split()
    ]
    sizes.append(row.extra())
    return Statm(*sizes)


def text(statm: Statm, _: Machine) -> str:
    """The fields that still mean something, one a line."""
    rows = [
        (name, size(getattr(statm, name)))
        for name in ("size", "resident", "shared", "text", "data")
    ]
    return columns(rows, right=(1,))
