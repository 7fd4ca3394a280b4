"""/proc/allocinfo: the kernel's memory by the place in its source that allocated it.

Source: lib/alloc_tag.c, Documentation/mm/allocation-profiling.rst. Since Linux 6.10, with
CONFIG_MEM_ALLOC_PROFILING; only CAP_SYS_ADMIN may read it.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.reasons import LineError, found
from procmirror.decoding.shapes import counter, lines
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

_LINE = re.compile(
    rb" *+(-?\d++) ++(-?\d++) ([^:]++):(\d++)(?: \[([^]]++)\])?+ func:(\S++)( .*+)?+", re.DOTALL
)


class Allocation(Record, frozen=True):
    """One place."""

    size: Annotated[int, doc("Memory that it allocated and that is not yet freed", "bytes")]
    calls: Annotated[int, doc("Allocations that are not yet freed")]
    file: Annotated[str, doc("File of the kernel's source")]
    line: Annotated[int, doc("Line in it")]
    module: Annotated[str | None, doc("The module; null: the kernel itself")]
    function: Annotated[str, doc("The function")]
    notes: Annotated[str | None, doc("What else is said, as `accurate:no`; null for nothing")]


def decode(raw: bytes, _: Machine) -> list[Allocation]:
    """The places in the kernel's order."""
    title, header = [*lines(raw)[:2], b"", b""][:2]
    known = title.startswith(b"allocinfo - version:")
    if not known and header.split() != [b"#", b"<size>", b"<calls>", b"<tag", b"info>"]:
        raise LineError(1, f"expected allocinfo - version: …, found {found(title)}")
    return rows(raw, _allocation, 2 if known else 0)


def _allocation(line: bytes) -> Allocation:
    match = matched(_LINE, line, "SIZE CALLS FILE:LINE [MODULE] func:NAME")
    size, calls, file, number, module, function, notes = match.groups()
    return Allocation(
        int(size),
        counter(calls),
        decoded(file),
        int(number),
        None if module is None else decoded(module),
        decoded(function),
        decoded(notes.strip(b" ")) or None if notes else None,
    )
