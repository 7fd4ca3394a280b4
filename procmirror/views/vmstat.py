"""/proc/vmstat: counters of the memory management, summed over all zones.

Source: proc_vmstat(5), mm/vmstat.c.

Every kernel has other ones: they are carried as they are. Most of `nr_*` are pages that are so now;
nearly all others count events since the boot. The JSON Schema has the former by their names, as no
counters.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import Count, counters, gauges
from procmirror.decoding.text import at_nought, columns, size
from procmirror.decoding.view import Machine

# Those of `nr_*` that count events are written in node_stat_item and vm_event_item without a word
# for it (include/linux/mmzone.h, vm_event_item.h); workingset_nodes is a number of now.
_NOW = "^(nr_(?!dirtied$|written$|throttled_written$|vmscan_|foll_pin_|tlb_)|workingset_nodes$)"
Counts = Annotated[dict[str, Count], gauges(_NOW)]

# Counted otherwise than in pages: KiB, huge pages (vmstat_item_print_in_thp in mm/vmstat.c,
# include/linux/mmzone.h), and flushes of the TLB.
KILOBYTES = {"nr_kernel_stack", "nr_shadow_call_stack", "pgpgin", "pgpgout"}
HUGE = {
    f"nr_{kind}"
    for kind in (
        "anon_transparent_hugepages",
        "shmem_hugepages",
        "shmem_pmdmapped",
        "file_hugepages",
    )
}
HUGE |= {"nr_file_pmdmapped"}


def decode(raw: bytes, _: Machine) -> dict[str, int | str]:
    """The counters in their order."""
    return counters(raw)


def text(found: dict[str, int | str], machine: Machine) -> str:
    """The counters that are not 0, with their size where they count memory."""
    shown = columns(
        [(name, value, _size(name, value, machine)) for name, value in found.items() if value],
        right=(1, 2),
    )
    return shown + at_nought([name for name, value in found.items() if not value])


def _size(name: str, value: int | str, machine: Machine) -> str:
    if isinstance(value, str):
        return ""
    if name in KILOBYTES:
        return size(value * 1024)
    pages = name.startswith("nr_") and not name.startswith("nr_tlb_") and name not in HUGE
    return size(value * machine.page_size) if pages else ""
