"""/proc/pressure/*: how much tasks wait for CPU, memory, I/O or interrupts (Documentation/accounting/psi.rst).

`full` of the CPU came with Linux 5.13 and is 0 for the whole machine; interrupts, since 6.1, have `full` only.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.shapes import lines
from procmirror.text import decoded
from procmirror.view import Machine, Record, doc


class Pressure(Record, frozen=True):
    """One line."""

    avg10: Annotated[float, doc("Share of the last 10 seconds in which tasks waited", "percent")]
    avg60: Annotated[float, doc("Share of the last minute", "percent")]
    avg300: Annotated[float, doc("Share of the last 5 minutes", "percent")]
    total: Annotated[float, doc("Time in which tasks waited, since the boot", "seconds")]


class Stall(Record, frozen=True):
    """Both lines."""

    some: Annotated[Pressure | None, doc("At least one task waited")] = None
    full: Annotated[Pressure | None, doc("All tasks that were not idle waited at once")] = None


def decode(raw: bytes, _: Machine) -> Stall:
    """The lines by their names."""
    rows = (line.split() for line in lines(raw))
    return Stall(**{decoded(name): _pressure(dict(word.split(b"=") for word in words)) for name, *words in rows})


def _pressure(values: dict[bytes, bytes]) -> Pressure:
    avg10, avg60, avg300 = (float(values[name]) for name in (b"avg10", b"avg60", b"avg300"))
    return Pressure(avg10, avg60, avg300, int(values[b"total"]) / 1e6)
