"""/proc/PID/pagemap with maps: which pages of a process are in memory.

Source: admin-guide/mm/pagemap.rst, fs/proc/task_mmu.c.

One 64-bit word a page of the whole address space, zero in holes, so only what maps tells is read.
The page frame numbers, which few may see, are not needed. A reservation of terabytes would take
minutes: the largest mappings are read up to a bound.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Annotated, Any

from procmirror.decoding.table import Rows
from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Machine, Reading, Record, doc
from procmirror.views.pid import maps

# The words of 64 GiB in pages of 4 KiB: a tenth of a second for a hole, about one for memory.
BUDGET = 1 << 24
_CHUNK = 1 << 15
_LITTLE = sys.byteorder == "little"
_HIGH, _NEXT = (7, 6) if _LITTLE else (0, 1)


def _bit(number: int) -> bytes:
    return bytes(value >> number & 1 for value in range(256))


# Bits 63, 62, 61 and 56 in the highest byte of a word, bit 55 in the next.
_PRESENT, _SWAPPED, _FILE, _EXCLUSIVE, _SOFT_DIRTY = (_bit(number) for number in (7, 6, 5, 0, 7))


class Pages(Record, frozen=True):
    """One mapping."""

    start: Annotated[str, doc("First address")]
    end: Annotated[str, doc("The address after the last")]
    size: Annotated[int, doc("Length", "bytes")]
    perms: Annotated[str, doc("As in maps")]
    pathname: Annotated[str | None, doc("As in maps")]
    deleted: Annotated[bool, doc("As in maps")]
    present: Annotated[
        int, doc("In memory; unlike Rss with the page of zeros that all share", "bytes")
    ]
    swapped: Annotated[int, doc("In swap, or on its way", "bytes")]
    soft_dirty: Annotated[
        int, doc("Written since clear_refs was, holes of a new mapping counted", "bytes")
    ]
    file: Annotated[int, doc("Page cache or shared memory", "bytes")]
    exclusive: Annotated[int, doc("Mapped by this process only", "bytes")]
    examined: Annotated[int, doc("How much of the mapping these numbers are about", "bytes")]
    truncated: Annotated[bool, doc("It was too large to look at all of it")]


def fair(wanted: Iterable[int], budget: int) -> int:
    """The most that each may have within `budget`, the small ones first."""
    sizes = sorted(wanted)
    for at, one in enumerate(sizes):
        share = budget // (len(sizes) - at)
        if one > share:
            return share
        budget -= one
    return max(sizes, default=0)


def _words(reading: Reading, first: int, count: int) -> Iterator[bytes]:
    """The words of `count` pages from page `first` on, in chunks, as far as there are any."""
    for at in range(first, first + count, _CHUNK):
        raw = reading.part("pagemap", at * 8, min(_CHUNK, first + count - at) * 8)
        yield raw[: len(raw) & ~7]
        if len(raw) < min(_CHUNK, first + count - at) * 8:
            return


def _counts(raw: bytes) -> Sequence[int]:
    if not raw.strip(b"\0"):
        return 0, 0, 0, 0, 0
    high, low = raw[_HIGH::8], raw[_NEXT::8]
    counts = [high.translate(bit).count(1) for bit in (_PRESENT, _SWAPPED, _FILE, _EXCLUSIVE)]
    return counts[0], counts[1], low.translate(_SOFT_DIRTY).count(1), counts[2], counts[3]


def _pages(mapping: maps.Mapping, most: int, reading: Reading, page: int) -> Pages:
    wanted = mapping.size // page
    examined, sums = 0, [0, 0, 0, 0, 0]
    with suppress(OSError):  # there is no word for [vsyscall], which is beyond the address space
        for raw in _words(reading, int(mapping.start, 16) // page, min(wanted, most)):
            examined += len(raw) // 8
            sums = [total + count for total, count in zip(sums, _counts(raw), strict=True)]
    present, swapped, soft_dirty, file, exclusive = (count * page for count in sums)
    return Pages(
        mapping.start,
        mapping.end,
        mapping.size,
        mapping.perms,
        mapping.pathname,
        mapping.deleted,
        present,
        swapped,
        soft_dirty,
        file,
        exclusive,
        examined * page,
        wanted > most,
    )


def join(reading: Reading, machine: Machine) -> Iterator[Any]:
    """The mappings in the order of their addresses."""
    found = maps.decode(reading.read("maps"), machine)
    page = machine.page_size
    reading.part(
        "pagemap", int(found[0].start, 16) // page * 8 if found else 0, 8
    )  # a refusal comes now, not midway
    most = fair((mapping.size // page for mapping in found), BUDGET)
    odd = found.undecoded if isinstance(found, Rows) else []
    return chain((_pages(mapping, most, reading, page) for mapping in found), odd)


def text(rows: Iterable[Pages], _: Machine) -> str:
    """One mapping a line, those with most in memory first.

    Those with nothing anywhere are left out.
    """
    shown = sorted(
        (one for one in rows if one.present or one.swapped),
        key=lambda one: (-one.present, -one.swapped),
    )
    cells = [
        (
            *map(
                size, (one.present, one.exclusive, one.file, one.swapped, one.soft_dirty, one.size)
            ),
            one.perms,
            maps.name(one) + (f" (the first {size(one.examined)} only)" if one.truncated else ""),
        )
        for one in shown
    ]
    return columns(
        cells,
        ("PRESENT", "OWN", "FILE", "SWAPPED", "SOFT-DIRTY", "SIZE", "PERMS", "NAME"),
        right=range(6),
    )
