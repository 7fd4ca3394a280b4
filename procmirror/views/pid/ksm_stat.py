"""/proc/PID/ksm_stat: what KSM does for a process.

Source: Documentation/admin-guide/mm/ksm.rst, fs/proc/base.c. Since Linux 6.0.

Counts as `name number`, and since Linux 6.14 words as `name: yes`. Empty for a process without
memory.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import lines, record_with_extra
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

_WORDS = {"yes": True, "no": False}


class KsmStat(Record, frozen=True):
    """The counters; null where this kernel has none, or the process no memory."""

    ksm_rmap_items: Annotated[int | None, doc("Pages that KSM looks after")] = None
    ksm_zero_pages: Annotated[
        int | None, doc("Pages of zeros that were merged with the kernel's zero page")
    ] = None
    ksm_merging_pages: Annotated[int | None, doc("Pages that are merged")] = None
    ksm_process_profit: Annotated[
        int | None, doc("Memory saved, less what KSM itself needs for it", "bytes")
    ] = None
    ksm_merge_any: Annotated[
        bool | None, doc("prctl(PR_SET_MEMORY_MERGE) is on: all memory that can be is merged")
    ] = None
    ksm_mergeable: Annotated[bool | None, doc("Some mapping may be merged")] = None
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> KsmStat:
    """The lines; a colon behind the name belongs to neither name nor value."""
    rows = (decoded(line).strip().partition(" ") for line in lines(raw))
    return record_with_extra(
        KsmStat,
        {name.removesuffix(":"): _WORDS.get(value, value) for name, _, value in rows if name},
    )
