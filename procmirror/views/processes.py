"""processes: every process that the requester may see, one compact object or line each.

A process that ends meanwhile, or that hidepid= hides, is left out; each part is judged by itself,
as in PID/process.
"""

from __future__ import annotations

from collections.abc import Iterable

from procmirror.decoding.parts import Parts
from procmirror.decoding.shares import Shares
from procmirror.decoding.text import columns, duration, size, told
from procmirror.decoding.view import Each, Incomplete, Machine, Reading
from procmirror.views.pid.process import (
    Listed,
    ProcessParts,
    command,
    share,
    since_boot,
    user,
)


def join(reading: Reading, machine: Machine) -> Each:
    """The processes in the order of their numbers."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    parts = Parts(reading, machine)
    shares = Shares()
    now = parts.made("uptime", lambda: since_boot(reading, "uptime"))
    return Each(
        numbers,
        lambda number: _process(number, reading, machine, now, shares, parts.incomplete),
        ProcessParts.FILES,
        ProcessParts.LINKS,
    )


def _process(
    number: str,
    reading: Reading,
    machine: Machine,
    now: float | None,
    shares: Shares,
    incomplete: list[Incomplete],
) -> Listed | None:
    """The row of a process; `incomplete` is what all rows miss."""
    parts = ProcessParts(reading, machine, f"{number}/")
    parts.incomplete += incomplete
    try:
        return Listed(**parts.listed(now, shares))
    except OSError:
        return None


def text(processes: Iterable[Listed], machine: Machine) -> str:
    """One process a line, those with most resident memory first, kernel threads last.

    %CPU is the share of one processor since the start.
    """
    rows = sorted(processes, key=lambda one: (-((one.stat and one.stat.rss) or 0), one.pid))
    return columns([_row(one, machine) for one in rows], _HEADER, right=(0, 1, 4, 5, 6, 8))


_HEADER = ("PID", "PPID", "USER", "S", "THR", "%CPU", "ELAPSED", "TTY", "RSS", "COMMAND")


def _row(one: Listed, machine: Machine) -> tuple[object, ...]:
    found = one.stat
    return (
        one.pid,
        told(found and found.ppid),
        user(one),
        found.state if found else "?",
        told(found and found.num_threads),
        share(one).removesuffix("%"),
        _age(one.elapsed),
        found and (found.tty or found.tty_nr),
        size(found.rss) if found and found.rss else "-",
        command(one, machine, 200),
    )


def _age(seconds: float | None) -> str:
    """A time in whole seconds where it has no larger unit."""
    return duration(seconds) if seconds is None or seconds >= 59.5 else f"{seconds:.0f}s"
