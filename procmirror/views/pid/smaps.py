"""/proc/PID/smaps: the mappings of a process with what they use.

Source: proc_pid_smaps(5), show_smap in fs/proc/task_mmu.c.

Each mapping is its line of maps followed by `Key: value` lines; keys came with almost every kernel.
To read it walks all page tables under the lock of the memory. A process may have 65,530 mappings
and more, so they are streamed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from operator import itemgetter
from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.shapes import kilobytes, number
from procmirror.decoding.shares import bounded
from procmirror.decoding.text import columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Reading, Record, doc
from procmirror.kernel.memory import VM_FLAGS
from procmirror.views.pid import maps

# The line of a mapping: its addresses, or what stands behind them if these have another form.
_HEADER = re.compile(rb"[0-9a-f]+-[0-9a-f]+ |\S+ \S+ [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ ")

# Sums, permissions and name of a mapping.
Cells = tuple[tuple[int, ...], str, str]


class Smap(Record, frozen=True, kw_only=True, gc=False):
    """A mapping under the kernel's names.

    Null where this kernel does not count it, in smaps_rollup, and where a line has another form:
    `extra` has that.
    """

    start: Annotated[str | None, doc("First address")] = None
    end: Annotated[str | None, doc("The address after the last")] = None
    size: Annotated[int | None, doc("Length", "bytes")] = None
    perms: Annotated[
        str | None, doc("`r`ead, `w`rite, e`x`ecute or `-`, then `p`rivate or `s`hared")
    ] = None
    offset: Annotated[int | None, doc("Where in the file it begins", "bytes")] = None
    device: Annotated[str | None, doc("Device of the file, major:minor")] = None
    inode: Annotated[int | None, doc("Inode of the file; 0 for none")] = None
    pathname: Annotated[
        str | None,
        doc("Path without the mark of deletion, or the kernel's name in brackets; null for none"),
    ] = None
    deleted: Annotated[bool | None, doc("The kernel marks the file as deleted")] = None
    Size: Annotated[int | None, doc("Length", "bytes")] = None
    KernelPageSize: Annotated[int | None, doc("Size of a page for the kernel", "bytes")] = None
    MMUPageSize: Annotated[int | None, doc("Size of a page for the processor", "bytes")] = None
    Rss: Annotated[int | None, doc("Resident", "bytes")] = None
    Pss: Annotated[
        int | None,
        doc("Resident, each page divided by the number of processes that map it", "bytes"),
    ] = None
    Pss_Dirty: Annotated[int | None, doc("The dirty part of Pss", "bytes")] = None
    Pss_Anon: Annotated[int | None, doc("The anonymous part of Pss (smaps_rollup)", "bytes")] = None
    Pss_File: Annotated[
        int | None, doc("The part of Pss that files back (smaps_rollup)", "bytes")
    ] = None
    Pss_Shmem: Annotated[
        int | None, doc("The part of Pss that shared memory backs (smaps_rollup)", "bytes")
    ] = None
    Shared_Clean: Annotated[int | None, doc("Resident, clean, mapped by others too", "bytes")] = (
        None
    )
    Shared_Dirty: Annotated[int | None, doc("Resident, dirty, mapped by others too", "bytes")] = (
        None
    )
    Private_Clean: Annotated[int | None, doc("Resident, clean, mapped by no other", "bytes")] = None
    Private_Dirty: Annotated[int | None, doc("Resident, dirty, mapped by no other", "bytes")] = None
    Referenced: Annotated[int | None, doc("Marked as accessed", "bytes")] = None
    Anonymous: Annotated[int | None, doc("Not backed by a file", "bytes")] = None
    KSM: Annotated[int | None, doc("Merged with equal pages", "bytes")] = None
    LazyFree: Annotated[int | None, doc("Given back by MADV_FREE, not yet taken", "bytes")] = None
    AnonHugePages: Annotated[int | None, doc("In transparent huge pages", "bytes")] = None
    ShmemPmdMapped: Annotated[int | None, doc("Shared memory in huge pages", "bytes")] = None
    FilePmdMapped: Annotated[int | None, doc("Page cache in huge pages", "bytes")] = None
    Shared_Hugetlb: Annotated[
        int | None, doc("In hugetlb pages, shared; not counted in Rss", "bytes")
    ] = None
    Private_Hugetlb: Annotated[
        int | None, doc("In hugetlb pages, private; not counted in Rss", "bytes")
    ] = None
    Swap: Annotated[int | None, doc("Swapped out", "bytes")] = None
    SwapPss: Annotated[
        int | None, doc("Swapped out, divided by the number of processes that share it", "bytes")
    ] = None
    Locked: Annotated[int | None, doc("Locked in memory, divided like Pss", "bytes")] = None
    THPeligible: Annotated[bool | None, doc("Whether it may get transparent huge pages")] = None
    ProtectionKey: Annotated[int | None, doc("Memory protection key")] = None
    VmFlags: Annotated[
        list[str] | None, doc("Flags in words; one without a word in the kernel's two letters")
    ] = None
    extra: Extra = UNSET


def _flags(value: bytes) -> list[str]:
    return [VM_FLAGS.get(letters, letters) for letters in decoded(value).split()]


_READ: dict[bytes, Callable[[bytes], Any]] = {
    key.encode(): kilobytes for key in Smap.__struct_fields__ if key[0].isupper()
}
_READ |= {
    b"THPeligible": {b"0": False, b"1": True}.__getitem__,
    b"ProtectionKey": number,
    b"VmFlags": _flags,
}


def smap(header: bytes, body: Iterable[bytes]) -> Smap:
    """One mapping from its line of maps and the lines below it.

    ValueError if none of them has its form.
    """
    values: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for line in body:
        key, _, value = line.partition(b":")
        try:
            values[key.decode()] = _READ[key](value.strip())
        except SURPRISES:
            extra[decoded(key)] = decoded(value.strip())
    try:
        (mapping,) = maps.mappings(decoded(header) + "\n")
    except SURPRISES:
        if not values:
            raise
        return Smap(**values, extra={decoded(header): "", **extra})
    return Smap(**msgspec.structs.asdict(mapping), **values, extra=extra or UNSET)


def smaps(rows: Iterable[bytes]) -> Iterator[Smap]:
    """The mappings of some lines, one at a time.

    Only the lines below that of a mapping begin with an upper-case letter.
    """
    header, body = b"", list[bytes]()
    for line in rows:
        if not line[:1].isupper() and _HEADER.match(line):
            if header:
                yield smap(header, body)
            header, body = line, []
        else:
            body.append(line)
    if header or body:
        yield smap(header, body)


def join(reading: Reading, _: Machine) -> Iterator[Smap]:
    """The mappings in the order of their addresses.

    The first line is read at once, so that a refusal does not come late.
    """
    rows = reading.lines("smaps")
    first = list(islice(rows, 1))
    return smaps(chain(first, rows))


def text(rows: Iterable[Smap], _: Machine) -> str:
    """One mapping a line, those with most resident memory first; the first line is the sum."""
    cells = sorted(bounded(map(_cells, rows), itemgetter(2)), key=_weight, reverse=True)
    total = tuple(sum(column) for column in zip(*(numbers for numbers, _, _ in cells), strict=True))
    lines = [(total, "-", "[total]"), *cells] if cells else []
    table = [(*map(size, numbers), perms, name) for numbers, perms, name in lines]
    header = ("RSS", "PSS", "DIRTY", "SWAP", "HUGETLB", "SIZE", "PERMS", "NAME")
    return columns(table, header, right=range(6))


def _weight(cells: Cells) -> tuple[object, ...]:
    """What comes first: the most resident memory, hugetlb pages among it, which Rss leaves out."""
    numbers = cells[0]
    return numbers[0] + numbers[4], cells


def _cells(one: Smap) -> Cells:
    dirty = (one.Private_Dirty or 0) + (one.Shared_Dirty or 0)
    huge = (one.Private_Hugetlb or 0) + (one.Shared_Hugetlb or 0)
    return (
        (one.Rss or 0, one.Pss or 0, dirty, one.Swap or 0, huge, one.size or 0),
        one.perms or "?",
        maps.name(one),
    )
