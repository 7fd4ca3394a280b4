"""/proc/PID/schedstat: time on a CPU and time in the queue for one.

Source: Documentation/scheduler/sched-stats.rst, fs/proc/base.c.

Of the one thread, here that whose number the process has. All 0 where the kernel does not account
for delays.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import counter
from procmirror.decoding.table import Row, words
from procmirror.decoding.text import interval, page, told
from procmirror.decoding.view import Extra, Machine, Record, counted


class Schedstat(Record, frozen=True):
    """The three numbers, in seconds."""

    cpu_time: Annotated[float | None, counted("Time on a CPU", "seconds")]
    run_delay: Annotated[
        float | None, counted("Time in the queue, ready to run but without a CPU", "seconds")
    ]
    timeslices: Annotated[int | None, counted("How often it was put on a CPU")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Schedstat:
    """The numbers of the line; the times are nanoseconds."""
    return words(raw, "cpu_time run_delay timeslices", _schedstat)


def _schedstat(row: Row) -> Schedstat:
    on_cpu, waited = row.tried("cpu_time", _seconds), row.tried("run_delay", _seconds)
    return Schedstat(on_cpu, waited, row.tried("timeslices", counter), row.extra())


def _seconds(nanoseconds: bytes) -> float:
    return counter(nanoseconds) / 10**9


def text(schedstat: Schedstat, _: Machine) -> str:
    """The times, and how they relate."""
    on_cpu, delay = schedstat.cpu_time, schedstat.run_delay
    total = None if on_cpu is None or delay is None else on_cpu + delay
    waited = f"  ({(delay or 0) / total:.0%} of the time it could have run)" if total else ""
    rows = [
        ("on-a-CPU", interval(schedstat.cpu_time)),
        ("waited-for-a-CPU", f"{interval(schedstat.run_delay)}{waited}"),
        ("time-slices", told(schedstat.timeslices)),
    ]
    return page(rows)
