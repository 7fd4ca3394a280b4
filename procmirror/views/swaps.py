"""/proc/swaps: the swap areas (proc_swaps(5), mm/swapfile.c).

The name is a path with octal escapes; of a file that was deleted the kernel says so behind the
name.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import lines, surplus, unescaped
from procmirror.decode.text import columns, decoded, size
from procmirror.decode.view import Extra, Machine, Record, doc


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
    return [_swap(line.split()) for line in lines(raw)[1:]]


def _swap(words: list[bytes]) -> Swap:
    name, kind, whole, used, priority = words[:5]
    sizes = int(whole) * 1024, int(used) * 1024
    return Swap(decoded(unescaped(name)), decoded(kind), *sizes, int(priority), surplus(words, 5))


def text(swaps: list[Swap], _: Machine) -> str:
    """One area a line."""
    rows = [
        (one.Priority, size(one.Size), size(one.Used), _share(one), one.Type, one.Filename)
        for one in swaps
    ]
    return (
        columns(rows, ("priority", "size", "used", "", "type", "path"), right=range(4))
        if rows
        else "no swap\n"
    )


def _share(swap: Swap) -> str:
    return f"{swap.Used / swap.Size:.0%}" if swap.Size else "-"
