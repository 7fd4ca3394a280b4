"""/proc/PID/timers: the POSIX timers of a process.

Source: proc_pid_timers(5), timer_create(2), show_timer in fs/proc/base.c.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import matched, paragraphs, pieces
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.kernel.call_values import clock
from procmirror.kernel.signals import name as signal_name

_TIMER = re.compile(
    rb"ID: (-?\d{1,10})\nsignal: (\d{1,10})/ *(\S+)\nnotify: "
    rb"(\S+)/(pid|tid)\.(-?\d{1,10})\nClockID: (-?\d{1,10})"
)
# The clocks of processes and threads carry their number: include/linux/posix-timers.h.
_CPU_CLOCKS = ("user and system time", "user time", "CPU time")


class Timer(Record, frozen=True):
    """One timer."""

    id: Annotated[int, doc("The kernel's number of the timer, the si_timerid of its signals")]
    signal: Annotated[str | None, doc("Signal it sends; null if there is none")]
    value: Annotated[
        str | None, doc("The sigev_value that goes with it; null where the kernel hides it")
    ]
    notify: Annotated[str, doc("How it notifies: `signal`, `thread` or `none`")]
    target: Annotated[str, doc("Whom: `pid`, the process, or `tid`, one thread")]
    target_id: Annotated[
        int, doc("Its number; 0 if the requester's PID namespace does not have it")
    ]
    clock: Annotated[
        str, doc("The clock it measures; the CPU time of another process or thread with its number")
    ]


def decode(raw: bytes, _: Machine) -> list[Timer]:
    """The timers in the kernel's order."""
    return pieces(paragraphs(raw, lambda line: line.startswith(b"ID: ")), _timer)


def _timer(piece: bytes) -> Timer:
    match = matched(_TIMER, piece, "a timer of four lines")
    number, signal, value, notify, target, target_id, clock_id = match.groups()
    hidden = not re.fullmatch(rb"[0-9a-f]{1,16}", value)
    return Timer(
        int(number),
        signal_name(int(signal)) if int(signal) else None,
        None if hidden else hex(hexadecimal(value)),
        decoded(notify),
        decoded(target),
        int(target_id),
        _clock(int(clock_id)),
    )


def _clock(number: int) -> str:
    """The name of a clock.

    A negative number is ~PID, the kind of CPU time, and a bit for a single thread.
    """
    if number >= 0:
        return clock(number)
    owner, kind, thread = ~(number >> 3), number & 3, bool(number & 4)
    if kind == 3:
        return f"descriptor {owner}"
    if not owner and kind == 2:
        return "CLOCK_THREAD_CPUTIME_ID" if thread else "CLOCK_PROCESS_CPUTIME_ID"
    return f"{_CPU_CLOCKS[kind]} of {'thread' if thread else 'process'} {owner or 'itself'}"


def text(timers: list[Timer], _: Machine) -> str:
    """One timer a line."""
    rows = [
        (
            one.id,
            one.notify,
            f"{one.target}:{one.target_id}",
            one.signal or "-",
            one.value or "-",
            one.clock,
        )
        for one in timers
    ]
    return (
        columns(rows, ("ID", "NOTIFY", "TARGET", "SIGNAL", "VALUE", "CLOCK"))
        if rows
        else "no timers of timer_create(2); /proc does not tell of setitimer(2) and alarm(2)\n"
    )
