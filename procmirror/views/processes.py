"""processes: every process that the reader may see, one compact object or line each.

A process that ends meanwhile, or that hidepid= hides, is left out; each part is judged by itself,
as in PID/process.
"""

from __future__ import annotations

from collections.abc import Iterable

from procmirror.decoding.text import columns, duration, size
from procmirror.decoding.view import Each, Machine, Reading
from procmirror.views.pid.process import Brief, ProcessParts, command, user


def join(reading: Reading, machine: Machine) -> Each:
    """The processes in the order of their numbers."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    return Each(
        numbers,
        lambda number: _process(number, reading, machine),
        ProcessParts.FILES,
        ProcessParts.LINKS,
    )


def _process(number: str, reading: Reading, machine: Machine) -> Brief | None:
    try:
        return Brief(**ProcessParts(reading, machine, f"{number}/").brief())
    except OSError:
        return None


def text(processes: Iterable[Brief], machine: Machine) -> str:
    """One process a line, those with most resident memory first, kernel threads last."""
    rows = sorted((_row(one, machine) for one in processes), key=lambda row: (-row[0], row[1]))
    cells = [(pid, *words, size(rss) if rss else "-", line) for rss, pid, words, line in rows]
    return columns(
        cells,
        ("PID", "USER", "STATE", "CPU", "STARTED", "RSS", "COMMAND"),
        right=(0, 3, 5),
    )


def _row(one: Brief, machine: Machine) -> tuple[int, int, tuple[str, ...], str]:
    found = one.stat
    words = (
        user(one),
        found.state if found else "?",
        duration(found.utime + found.stime) if found else "?",
        (found and found.started) or "-",
    )
    return found.rss if found else 0, one.pid, words, command(one, machine, 200)
