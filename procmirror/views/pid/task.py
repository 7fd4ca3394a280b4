"""/proc/PID/task/ with stat and wchan of each thread: the threads of a process (proc_pid_task(5)).

A thread that ends while the list is made is left out; wchan is 0 for whom the reader may not trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from procmirror.decoding.text import columns, duration
from procmirror.decoding.view import Machine, Reading, Record, doc
from procmirror.kernel import tasks
from procmirror.views.pid import stat, wchan


class Thread(Record, frozen=True):
    """One thread."""

    tid: Annotated[int, doc("Its id; that of the first is the process id")]
    comm: Annotated[str, doc("Its name")]
    state: Annotated[str, doc("Letter and word of its state, as in status")]
    utime: Annotated[float, doc("CPU time in user mode", "seconds")]
    stime: Annotated[float, doc("CPU time in the kernel", "seconds")]
    processor: Annotated[int | None, doc("The CPU on which it ran last")]
    wchan: Annotated[
        str | None,
        doc("The kernel function in which it waits; null if it does not, or for a stranger"),
    ]
    waits_for: Annotated[str | None, doc("What this function waits for")]


def _thread(tid: str, reading: Reading, machine: Machine) -> Thread | None:
    try:
        found = stat.decode(reading.read(f"task/{tid}/stat"), machine)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        waiting = wchan.decode(reading.read(f"task/{tid}/wchan"), machine)
    except OSError:
        waiting = wchan.Wchan(None, None)
    state = tasks.STATES.get(found.state, found.state)
    return Thread(
        found.pid,
        found.comm,
        state,
        found.utime,
        found.stime,
        found.processor,
        waiting.symbol,
        waiting.waits_for,
    )


def join(reading: Reading, machine: Machine) -> Iterator[Thread]:
    """The threads, oldest first."""
    names = reading.names("task")
    return (
        thread for name in names if name.isdecimal() and (thread := _thread(name, reading, machine))
    )


def text(threads: Iterable[Thread], _: Machine) -> str:
    """One thread a line, those that used most CPU time first."""
    shown = sorted(threads, key=lambda one: (-one.utime - one.stime, one.tid))
    cells = [
        (
            one.tid,
            one.state[:1],
            duration(one.utime + one.stime),
            one.processor,
            one.comm,
            one.waits_for or one.wchan or "",
        )
        for one in shown
    ]
    return columns(cells, ("TID", "STATE", "CPU-TIME", "CPU", "NAME", "WAITS-FOR"), right=(0, 2, 3))
