"""/proc/uptime: seconds since the boot, and of idleness of all CPUs together.

Source: proc_uptime(5), fs/proc/uptime.c.

The first is of the requester's time namespace, the second of the machine.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import decimal
from procmirror.decoding.table import words
from procmirror.decoding.text import duration, page
from procmirror.decoding.view import Extra, Machine, Record, counted, doc


class Uptime(Record, frozen=True):
    """The two numbers."""

    uptime: Annotated[float | None, doc("Since the boot, suspended time included", "seconds")]
    idle: Annotated[float | None, counted("Spent idle, summed over all CPUs", "seconds")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Uptime:
    """The numbers of the one line."""
    return words(
        raw,
        "uptime idle",
        lambda row: Uptime(row.tried("uptime", decimal), row.tried("idle", decimal), row.extra()),
    )


def text(uptime: Uptime, _: Machine) -> str:
    """Both in hours and days."""
    return page(
        [("up", duration(uptime.uptime)), ("idle", f"{duration(uptime.idle)} (all CPUs together)")]
    )
