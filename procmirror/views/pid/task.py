"""/proc/PID/task/ with stat and wchan of each thread: the threads of a process (proc_pid_task(5)).

A thread that ends while the list is made is left out; wchan is 0 if the requester may not trace it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from msgspec import field

from procmirror.decoding.parts import Parts
from procmirror.decoding.text import columns, duration
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, counted, doc
from procmirror.kernel import tasks
from procmirror.views.pid import stat, wchan
from procmirror.views.pid.process import missing


class Thread(Record, frozen=True):
    """One thread."""

    tid: Annotated[int, doc("Its id; that of the first is the process id")]
    comm: Annotated[str | None, doc("Its name")]
    state: Annotated[str | None, doc("Letter and word of its state, as in status")]
    utime: Annotated[float | None, counted("CPU time in user mode", "seconds")]
    stime: Annotated[float | None, counted("CPU time in the kernel", "seconds")]
    processor: Annotated[int | None, doc("The CPU on which it ran last")]
    wchan: Annotated[
        str | None,
        doc("The kernel function in which it waits; null if it does not or may not be known"),
    ]
    waits_for: Annotated[str | None, doc("What this function waits for")]
    incomplete: Annotated[
        list[Incomplete],
        doc("Why stat or wchan could not be read or decoded; empty if they could"),
    ] = field(default_factory=list)


def _thread(tid: str, reading: Reading, machine: Machine) -> Thread | None:
    parts = Parts(reading, machine, f"task/{tid}/")
    found = parts.file("stat", stat.decode)
    if found is None and not parts.incomplete:
        return None
    waiting = parts.file("wchan", wchan.decode)
    return Thread(
        int(tid),
        found.comm if found else None,
        tasks.STATES.get(found.state, found.state) if found else None,
        found.utime if found else None,
        found.stime if found else None,
        found.processor if found else None,
        waiting.symbol if waiting else None,
        waiting.waits_for if waiting else None,
        parts.incomplete,
    )


def join(reading: Reading, machine: Machine) -> Iterator[Thread]:
    """The threads, oldest first."""
    names = reading.names("task")
    return (
        thread for name in names if name.isdecimal() and (thread := _thread(name, reading, machine))
    )


def text(threads: Iterable[Thread], _: Machine) -> str:
    """One thread a line, those that used most CPU time first."""
    shown = sorted(threads, key=lambda one: (-_used(one), one.tid))
    cells = [
        (
            one.tid,
            (one.state or "?")[:1],
            duration(_used(one)),
            "?" if one.processor is None else one.processor,
            one.comm or "?",
            (one.waits_for or one.wchan or "") + missing(one.incomplete),
        )
        for one in shown
    ]
    return columns(cells, ("TID", "STATE", "CPU-TIME", "CPU", "NAME", "WAITS-FOR"), right=(0, 2, 3))


def _used(one: Thread) -> float:
    return (one.utime or 0.0) + (one.stime or 0.0)
