"""/proc/loadavg: the load averages and the newest pid (proc_loadavg(5), fs/proc/loadavg.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import decimal, number
from procmirror.decoding.table import Row, words
from procmirror.decoding.text import page, told
from procmirror.decoding.view import Extra, Machine, Record, doc


class Loadavg(Record, frozen=True):
    """The five fields, the fourth in its two parts."""

    load1: Annotated[
        float | None, doc("Tasks running or in uninterruptible sleep, average of 1 minute")
    ]
    load5: Annotated[float | None, doc("The same, average of 5 minutes")]
    load15: Annotated[float | None, doc("The same, average of 15 minutes")]
    running: Annotated[int | None, doc("Tasks that are runnable now")]
    total: Annotated[int | None, doc("Tasks that exist now, threads included")]
    last_pid: Annotated[int | None, doc("The pid given out last, in the requester's pid namespace")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Loadavg:
    """The fields of the one line."""
    return words(raw, "load1 load5 load15 tasks last_pid", _loadavg)


def _loadavg(row: Row) -> Loadavg:
    loads = row.tried("load1", decimal), row.tried("load5", decimal), row.tried("load15", decimal)
    running, total = row.tried("tasks", _two) or (None, None)
    return Loadavg(*loads, running, total, row.tried("last_pid", number), row.extra())


def _two(word: bytes) -> tuple[int, int]:
    running, total = map(number, word.split(b"/"))
    return running, total


def text(load: Loadavg, _: Machine) -> str:
    """What each number is."""
    loads = (load.load1, load.load5, load.load15)
    shown = " ".join("?" if one is None else f"{one:.2f}" for one in loads)
    rows = [
        ("load", f"{shown} (1, 5, 15 minutes)"),
        ("tasks", f"{told(load.running)} runnable of {told(load.total)}"),
        ("last-pid", load.last_pid),
    ]
    return page(rows)
