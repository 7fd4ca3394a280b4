"""/proc/PID/timens_offsets: how the clocks of a time namespace differ from those of the machine.

Source: time_namespaces(7).

Of the namespace that children of the process will be in. Empty for a zombie.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import number
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Offset(Record, frozen=True):
    """One clock."""

    clock: Annotated[
        str, doc("`monotonic` or `boottime`; before Linux 5.6 was final their numbers, 1 and 7")
    ]
    offset: Annotated[float, doc("What is added to the clock of the machine", "seconds")]


def decode(raw: bytes, _: Machine) -> list[Offset]:
    """Clock, seconds and nanoseconds of each line; the nanoseconds are never negative."""
    return rows(raw, lambda line: _offset(*line.split()))


def _offset(clock: bytes, seconds: bytes, nanoseconds: bytes) -> Offset:
    return Offset(decoded(clock), number(seconds) + number(nanoseconds) / 10**9)
