"""/proc/PID/coredump_filter: which mappings a core dump holds, a hexadecimal mask.

Source: core(5), MMF_DUMP_* in linux/mm_types.h.

Empty for a process without memory: a kernel thread or a zombie.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import flags, hexadecimal
from procmirror.decoding.text import columns
from procmirror.decoding.view import Machine, Record, doc

_MAPPINGS = {
    "ANON_PRIVATE": "private anonymous memory",
    "ANON_SHARED": "shared anonymous memory",
    "MAPPED_PRIVATE": "private mappings of files",
    "MAPPED_SHARED": "shared mappings of files",
    "ELF_HEADERS": "the first page of ELF files",
    "HUGETLB_PRIVATE": "private huge pages",
    "HUGETLB_SHARED": "shared huge pages",
    "DAX_PRIVATE": "private mappings of persistent memory",
    "DAX_SHARED": "shared mappings of persistent memory",
}
_NAMES = {1 << bit: name for bit, name in enumerate(_MAPPINGS)}


class CoredumpFilter(Record, frozen=True):
    """What would be written."""

    dumped: Annotated[
        list[str] | None,
        doc("Kinds of mappings (MMF_DUMP_* without the prefix); null without memory"),
    ]


def decode(raw: bytes, _: Machine) -> CoredumpFilter:
    """The names of the bits."""
    return CoredumpFilter(flags(hexadecimal(raw), _NAMES) if raw else None)


def text(filtered: CoredumpFilter, _: Machine) -> str:
    """Every kind with yes or no, then bits without a name."""
    if filtered.dumped is None:
        return "no memory to dump\n"
    rows = [
        ("yes" if name in filtered.dumped else "no", words) for name, words in _MAPPINGS.items()
    ]
    return columns([*rows, *(("yes", name) for name in filtered.dumped if name not in _MAPPINGS)])
