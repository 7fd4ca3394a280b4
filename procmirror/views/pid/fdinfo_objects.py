"""BPF objects and io_urings, of which /proc/PID/fdinfo/N tells in many lines.

Source: kernel/bpf/syscall.c, io_uring/fdinfo.c.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from procmirror.decoding.shapes import number as whole
from procmirror.decoding.view import Record, doc
from procmirror.kernel import files
from procmirror.views.pid.fdinfo_kinds import Lines, value

# What a line tells: a number, or a text as it is (a hexadecimal number with its 0x).
Fact: TypeAlias = int | float | str | None
# Fields in other units: the name here, and how many of the kernel's are a second.
_DURATIONS = {
    "run_time_ns": ("run_time", 1e9),
    "napi_busy_poll_dt": ("napi_busy_poll_dt", 1e9),
    "SqTotalTime": ("SqTotalTime", 1e6),
    "SqWorkTime": ("SqWorkTime", 1e6),
}
# Fields that are text, whatever digits they have: a hexadecimal number without 0x.
_TEXTS = frozenset({"prog_tag"})
_THREAD = frozenset({"SqThread", "SqThreadCpu"})
_NUMBER = re.compile(r"-?[0-9]{1,20}")
# Objects of BPF have lines of their own, all of which belong to the field `bpf`.
KEYS_OF_BPF = ("map_type", "link_type", "prog_type")


class Bpf(Record, frozen=True):
    """A BPF object."""

    kind: Annotated[str, doc("`map`, `prog` or `link`")]
    type: Annotated[str, doc("Its type, by the name of bpftool(8)")]
    id: Annotated[int | None, doc("Its number")]
    fields: Annotated[
        dict[str, Fact],
        doc("What else the kernel says; sizes in bytes, and run_time (of run_time_ns) in seconds"),
    ]
    entries: Annotated[
        list[str], doc("The table of a link to several functions (since Linux 6.17), with header")
    ]


class IoUring(Record, frozen=True):
    """An io_uring."""

    fields: Annotated[
        dict[str, Fact],
        doc(
            "Heads, tails, masks and counts of the rings under the kernel's names; SqTotalTime "
            "and SqWorkTime in seconds; SqThread and SqThreadCpu null without a thread"
        ),
    ]
    entries: Annotated[dict[str, list[str]], doc("The lines below `SQEs`, `CQEs`, `UserFiles`, …")]


def _fact(key: str, word: str) -> tuple[str, Fact]:
    """A field and its value."""
    if not _NUMBER.fullmatch(word) or key in _TEXTS:
        return key, word
    if key in _DURATIONS:
        name, unit = _DURATIONS[key]
        return name, whole(word) / unit
    return key, None if key in _THREAD and word == "-1" else whole(word)


def bpf(found: Lines, entries: list[str]) -> Bpf:
    """A map, a program or a link, and the table below a link to several functions."""
    fields = {key: value(rows[0]) for key, rows in found.items()}
    kind = next(kind for kind in ("map", "link", "prog") if f"{kind}_type" in fields)
    named, number = fields.pop(f"{kind}_type"), fields.pop(f"{kind}_id", None)
    if named.isdecimal():
        named = (files.BPF_MAPS if kind == "map" else files.BPF_PROGRAMS).get(int(named), named)
    return Bpf(
        kind,
        named,
        None if number is None else whole(number),
        dict(_fact(*field) for field in fields.items()),
        [" ".join(entry.split()) for entry in entries],
    )


def io_uring(rows: list[str]) -> IoUring:
    """The heads and counts of the rings, and the lines below a key without a value."""
    fields: dict[str, str] = {}
    entries: dict[str, list[str]] = {}
    last = ""
    for row in rows:
        key, colon, value = row.partition(":")
        if colon and key and not key[0].isspace():
            last = key
            if value.strip():
                fields[key] = value.strip()
        elif row.strip():
            entries.setdefault(last, []).append(row.strip())
    return IoUring(dict(_fact(*field) for field in fields.items()), entries)
