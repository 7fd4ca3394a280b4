"""/proc/swaps: the swap areas (proc_swaps(5), mm/swapfile.c).

The name is a path with octal escapes; of a file that was deleted the kernel says so behind the
name.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import scaled, unescaped
from procmirror.decoding.table import Row, columns_of, rows
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Record, doc

# Only blanks, tabs and newlines of a name are escaped, no other control character.
WORD = re.compile(rb"[^ \t]+")


class Swap(Record, frozen=True):
    """One swap area."""

    Filename: Annotated[str, doc("Path of the device or file")]
    Type: Annotated[str, doc("partition or file")]
    Size: Annotated[int, doc("Its size", "bytes")]
    Used: Annotated[int, doc("What of it is used", "bytes")]
    Priority: Annotated[int, doc("Areas with the highest priority are used first")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Swap]:
    """The lines after the header."""
    titles = columns_of(raw, "Filename Type Size Used Priority")
    return rows(raw, lambda line: _swap(Row(titles, WORD.findall(line))), 1)


def _swap(row: Row) -> Swap:
    return Swap(
        row("Filename", lambda name: decoded(unescaped(name))),
        row("Type", decoded),
        row("Size", lambda size: scaled(size, 1024)),
        row("Used", lambda size: scaled(size, 1024)),
        row("Priority", int),
        row.extra(),
    )


def text(swaps: list[Swap], _: Machine) -> str:
    """One area a line."""
    rows = [
        (one.Priority, size(one.Size), size(one.Used), _share(one), one.Type, one.Filename)
        for one in swaps
    ]
    return (
        columns(rows, ("PRIORITY", "SIZE", "USED", "SHARE", "TYPE", "PATH"), right=range(4))
        if rows
        else "no swap\n"
    )


def _share(swap: Swap) -> str:
    return f"{swap.Used / swap.Size:.0%}" if swap.Size else "-"
