"""Names for what the kernel says of memory: VmFlags of /proc/PID/smaps.

Source: show_smap_vma_flags in fs/proc/task_mmu.c.

The letters are explained in Documentation/filesystems/proc.rst; not every kernel has all of them.
"""

from __future__ import annotations

VM_FLAGS: dict[str, str] = {
    "rd": "readable",
    "wr": "writable",
    "ex": "executable",
    "sh": "shared",
    "mr": "may-read",
    "mw": "may-write",
    "me": "may-execute",
    "ms": "may-share",
    "gd": "grows-down",
    "pf": "pure-pfn",
    "dw": "denies-write",
    "lo": "locked",
    "lf": "locked-on-fault",
    "io": "io",
    "sr": "sequential-read",
    "rr": "random-read",
    "dc": "not-copied-on-fork",
    "de": "not-expanded",
    "ac": "accounted",
    "nr": "no-reserve",
    "ht": "hugetlb",
    "sf": "synchronous-fault",
    "nl": "non-linear",
    "ar": "arch-specific",
    "wf": "wiped-on-fork",
    "dd": "not-dumped",
    "dp": "droppable",
    "sd": "soft-dirty",
    "gu": "maybe-guard",
    "mm": "mixed",
    "hg": "huge-page",
    "nh": "no-huge-page",
    "mg": "mergeable",
    "mp": "mpx",
    "bt": "bti",
    "mt": "mte",
    "um": "uffd-missing",
    "uw": "uffd-write-protect",
    "ui": "uffd-minor",
    "ss": "shadow-stack",
    "sl": "sealed",
}
