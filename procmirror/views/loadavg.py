"""/proc/loadavg: the load averages and the newest pid (proc_loadavg(5), fs/proc/loadavg.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.table import Row, words
from procmirror.decoding.text import page
from procmirror.decoding.view import Extra, Machine, Record, doc


class Loadavg(Record, frozen=True):
    """The five fields, the fourth in its two parts."""

    load1: Annotated[float, doc("Tasks running or in uninterruptible sleep, average of 1 minute")]
    load5: Annotated[float, doc("The same, average of 5 minutes")]
    load15: Annotated[float, doc("The same, average of 15 minutes")]
    running: Annotated[int, doc("Tasks that are runnable now")]
    total: Annotated[int, doc("Tasks that exist now, threads included")]
    last_pid: Annotated[int, doc("The pid given out last, in the requester's pid namespace")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Loadavg:
    """The fields of the one line."""
    return words(raw, "load1 load5 load15 tasks last_pid", _loadavg)


def _loadavg(row: Row) -> Loadavg:
    loads = row("load1", float), row("load5", float), row("load15", float)
    running, total = row("tasks", lambda word: word.split(b"/"))
    return Loadavg(*loads, int(running), int(total), row("last_pid", int), row.extra())


def text(load: Loadavg, _: Machine) -> str:
    """What each number is."""
    rows = [
        ("load", f"{load.load1:.2f} {load.load5:.2f} {load.load15:.2f} (1, 5, 15 minutes)"),
        ("tasks", f"{load.running} runnable of {load.total}"),
        ("last-pid", load.last_pid),
    ]
    return page(rows)
