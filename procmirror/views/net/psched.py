"""/proc/net/psched: the clock of packet scheduling, from which tc(8) computes its units.

Source: net/sched/sch_api.c.

Four numbers in hexadecimal, named here as tc names them. A tick lasts `us2t / t2us` microseconds.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import Row, words
from procmirror.decoding.view import Extra, Machine, Record, doc


class Psched(Record, frozen=True):
    """Factors of the clock."""

    t2us: Annotated[int | None, doc("Nanoseconds of a microsecond: always 1000")]
    us2t: Annotated[int | None, doc("Nanoseconds of a tick: 64 today")]
    clock_res: Annotated[int | None, doc("Microseconds of a second: always 1000000")]
    hz: Annotated[int | None, doc("How often a second the timer can fire", "hertz")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Psched:
    """The numbers of the one line."""
    return words(raw, "t2us us2t clock_res hz", _psched)


def _psched(row: Row) -> Psched:
    values: list[Any] = [
        row.tried(name, hexadecimal) for name in ("t2us", "us2t", "clock_res", "hz")
    ]
    values.append(row.extra())
    return Psched(*values)
