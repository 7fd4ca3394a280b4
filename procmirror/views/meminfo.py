"""/proc/meminfo: where the memory is (proc_meminfo(5), fs/proc/meminfo.c).

Which lines there are depends on the kernel's version, configuration and architecture; only the
first two never failed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import kilobytes, pairs, record_with_extra
from procmirror.decoding.text import at_nought, columns, decoded, size
from procmirror.decoding.view import Extra, Machine, Record, doc

LISTS = {
    f"{age}_{kind}": f"{age}({kind})" for age in ("Active", "Inactive") for kind in ("anon", "file")
}


class Meminfo(Record, frozen=True, rename=LISTS):
    """The lines under the kernel's names; null for those that this kernel does not have."""

    MemTotal: Annotated[
        int | None, doc("Usable memory: all but what firmware and the kernel's code keep", "bytes")
    ] = None
    MemFree: Annotated[int | None, doc("Memory that nothing uses", "bytes")] = None
    MemAvailable: Annotated[
        int | None, doc("What new programs can have without swapping, estimated", "bytes")
    ] = None
    Buffers: Annotated[int | None, doc("Cache of block devices", "bytes")] = None
    Cached: Annotated[
        int | None, doc("Page cache, shared memory included, without SwapCached", "bytes")
    ] = None
    SwapCached: Annotated[int | None, doc("In memory, with a copy still in swap", "bytes")] = None
    Active: Annotated[int | None, doc("Used recently, reclaimed last", "bytes")] = None
    Inactive: Annotated[int | None, doc("Not used recently, reclaimed first", "bytes")] = None
    Active_anon: Annotated[
        int | None, doc("The part of Active that is anonymous or tmpfs", "bytes")
    ] = None
    Inactive_anon: Annotated[
        int | None, doc("The part of Inactive that is anonymous or tmpfs", "bytes")
    ] = None
    Active_file: Annotated[
        int | None, doc("The part of Active that is backed by files", "bytes")
    ] = None
    Inactive_file: Annotated[
        int | None, doc("The part of Inactive that is backed by files", "bytes")
    ] = None
    Unevictable: Annotated[int | None, doc("Cannot be reclaimed", "bytes")] = None
    Mlocked: Annotated[int | None, doc("Locked by mlock(2)", "bytes")] = None
    HighTotal: Annotated[
        int | None, doc("Memory that the kernel cannot address directly (32 bit)", "bytes")
    ] = None
    HighFree: Annotated[int | None, doc("What of it is free", "bytes")] = None
    LowTotal: Annotated[
        int | None, doc("Memory that the kernel can address directly (32 bit)", "bytes")
    ] = None
    LowFree: Annotated[int | None, doc("What of it is free", "bytes")] = None
    MmapCopy: Annotated[int | None, doc("Memory of private mappings without an MMU", "bytes")] = (
        None
    )
    SwapTotal: Annotated[int | None, doc("Swap space", "bytes")] = None
    SwapFree: Annotated[int | None, doc("Swap space that is free", "bytes")] = None
    Zswap: Annotated[
        int | None, doc("Memory that the compressed swap cache takes (since Linux 5.19)", "bytes")
    ] = None
    Zswapped: Annotated[
        int | None, doc("What it holds, before compression (since Linux 5.19)", "bytes")
    ] = None
    Dirty: Annotated[int | None, doc("Waits to be written to disk", "bytes")] = None
    Writeback: Annotated[int | None, doc("Is being written to disk", "bytes")] = None
    AnonPages: Annotated[int | None, doc("Mapped anonymous memory", "bytes")] = None
    Mapped: Annotated[int | None, doc("Mapped files", "bytes")] = None
    Shmem: Annotated[int | None, doc("Shared memory and tmpfs", "bytes")] = None
    KReclaimable: Annotated[
        int | None, doc("Kernel memory that can be reclaimed (since Linux 4.20)", "bytes")
    ] = None
    Slab: Annotated[int | None, doc("Kernel data structures", "bytes")] = None
    SReclaimable: Annotated[int | None, doc("The part of Slab that can be reclaimed", "bytes")] = (
        None
    )
    SUnreclaim: Annotated[int | None, doc("The part of Slab that cannot", "bytes")] = None
    KernelStack: Annotated[int | None, doc("Kernel stacks of all tasks", "bytes")] = None
    ShadowCallStack: Annotated[
        int | None, doc("Shadow call stacks of all tasks (arm64)", "bytes")
    ] = None
    PageTables: Annotated[int | None, doc("Page tables", "bytes")] = None
    SecPageTables: Annotated[
        int | None, doc("Page tables of virtual machines and IOMMUs (since Linux 6.1)", "bytes")
    ] = None
    NFS_Unstable: Annotated[int | None, doc("0 since Linux 5.8", "bytes")] = None
    Bounce: Annotated[int | None, doc("Bounce buffers; 0 since Linux 6.16", "bytes")] = None
    WritebackTmp: Annotated[
        int | None, doc("Buffers of FUSE writeback; 0 since Linux 6.16", "bytes")
    ] = None
    CommitLimit: Annotated[
        int | None, doc("What can be committed if vm.overcommit_memory is 2", "bytes")
    ] = None
    Committed_AS: Annotated[
        int | None, doc("What all programs could use if they used all they asked for", "bytes")
    ] = None
    VmallocTotal: Annotated[int | None, doc("Address space for vmalloc", "bytes")] = None
    VmallocUsed: Annotated[
        int | None, doc("What of it is used; 0 from Linux 4.4 to 5.2", "bytes")
    ] = None
    VmallocChunk: Annotated[int | None, doc("0 since Linux 4.4", "bytes")] = None
    Percpu: Annotated[int | None, doc("Per-CPU variables (since Linux 4.21)", "bytes")] = None
    EarlyMemtestBad: Annotated[
        int | None, doc("Found bad by the memory test at boot (since Linux 6.4)", "bytes")
    ] = None
    HardwareCorrupted: Annotated[
        int | None, doc("Taken out of use after memory errors", "bytes")
    ] = None
    AnonHugePages: Annotated[
        int | None, doc("Transparent huge pages of anonymous memory", "bytes")
    ] = None
    ShmemHugePages: Annotated[
        int | None, doc("Transparent huge pages of shared memory (since Linux 4.8)", "bytes")
    ] = None
    ShmemPmdMapped: Annotated[
        int | None, doc("What of them is mapped as huge pages (since Linux 4.8)", "bytes")
    ] = None
    FileHugePages: Annotated[
        int | None, doc("Transparent huge pages of files (since Linux 5.4)", "bytes")
    ] = None
    FilePmdMapped: Annotated[
        int | None, doc("What of them is mapped as huge pages (since Linux 5.4)", "bytes")
    ] = None
    CmaTotal: Annotated[
        int | None, doc("Reserved for the contiguous memory allocator", "bytes")
    ] = None
    CmaFree: Annotated[int | None, doc("What of it is free", "bytes")] = None
    Unaccepted: Annotated[
        int | None, doc("Not yet accepted by a confidential guest (since Linux 6.5)", "bytes")
    ] = None
    Balloon: Annotated[
        int | None, doc("Given back to the hypervisor (since Linux 6.16)", "bytes")
    ] = None
    GPUActive: Annotated[
        int | None, doc("Used by graphics drivers for objects (since Linux 6.19)", "bytes")
    ] = None
    GPUReclaim: Annotated[
        int | None, doc("Kept by graphics drivers for reuse (since Linux 6.19)", "bytes")
    ] = None
    HugePages_Total: Annotated[int | None, doc("Huge pages of the default size in the pool")] = None
    HugePages_Free: Annotated[int | None, doc("What of them is free")] = None
    HugePages_Rsvd: Annotated[int | None, doc("What of the free ones is promised")] = None
    HugePages_Surp: Annotated[int | None, doc("What of them exceeds vm.nr_hugepages")] = None
    Hugepagesize: Annotated[int | None, doc("The default size of a huge page", "bytes")] = None
    Hugetlb: Annotated[int | None, doc("Huge pages of all sizes", "bytes")] = None
    DirectMap4k: Annotated[
        int | None, doc("Mapped by the kernel in pages of 4 KiB (x86, s390)", "bytes")
    ] = None
    DirectMap64k: Annotated[int | None, doc("Mapped by the kernel in pages of 64 KiB", "bytes")] = (
        None
    )
    DirectMap1M: Annotated[int | None, doc("Mapped by the kernel in pages of 1 MiB", "bytes")] = (
        None
    )
    DirectMap2M: Annotated[int | None, doc("Mapped by the kernel in pages of 2 MiB", "bytes")] = (
        None
    )
    DirectMap4M: Annotated[int | None, doc("Mapped by the kernel in pages of 4 MiB", "bytes")] = (
        None
    )
    DirectMap1G: Annotated[int | None, doc("Mapped by the kernel in pages of 1 GiB", "bytes")] = (
        None
    )
    DirectMap2G: Annotated[int | None, doc("Mapped by the kernel in pages of 2 GiB", "bytes")] = (
        None
    )
    extra: Extra = UNSET


# A number of at most 64 bits: below zero it has 20 digits.
_SIZE = re.compile(rb"(?:-?[0-9]{1,15}|184467[0-9]{14}) kB")


def decode(raw: bytes, _: Machine) -> Meminfo:
    """Each line, sizes in bytes, huge pages counted as the kernel does."""
    return record_with_extra(Meminfo, {key: _value(value) for key, value in pairs(raw)})


def _value(value: bytes) -> int | str:
    with suppress(ValueError):
        return kilobytes(value) if _SIZE.fullmatch(value) else decoded(value)
    return decoded(value)


def text(meminfo: Meminfo, _: Machine) -> str:
    """What is not zero, with its share of all memory."""
    whole = meminfo.MemTotal or 0
    rows = []
    for attribute, name in zip(
        Meminfo.__struct_fields__[:-1], Meminfo.__struct_encode_fields__, strict=False
    ):
        value = getattr(meminfo, attribute)
        if value:
            share = (
                f"{value / whole:.1%}"
                if value <= whole and not name.startswith("HugePages_")
                else ""
            )
            rows.append((name, value if name.startswith("HugePages_") else size(value), share))
    rows += [
        (name, value, "")
        for name, value in ({} if meminfo.extra is UNSET else meminfo.extra).items()
    ]
    nought = [
        name
        for attribute, name in zip(
            Meminfo.__struct_fields__[:-1], Meminfo.__struct_encode_fields__, strict=False
        )
        if getattr(meminfo, attribute) == 0
    ]
    return columns(rows, right=(1, 2)) + at_nought(nought)
