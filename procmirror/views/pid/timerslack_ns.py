"""/proc/PID/timerslack_ns: how late a timer may fire so that wake-ups can be shared.

Source: proc_pid_timerslack_ns(5), prctl(2).
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.text import interval
from procmirror.decoding.view import Machine, Record, doc


class Timerslack(Record, frozen=True):
    """The slack of sleeps and timeouts of the thread; 0 for real-time policies since Linux 6.13."""

    timerslack: Annotated[float, doc("How much later than asked for", "seconds")]


def decode(raw: bytes, _: Machine) -> Timerslack:
    """The one number, nanoseconds."""
    return Timerslack(int(raw) / 10**9)


def text(slack: Timerslack, _: Machine) -> str:
    """The time in a fitting unit."""
    return f"{interval(slack.timerslack)}\n"
