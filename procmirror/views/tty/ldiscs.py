"""/proc/tty/ldiscs: the line disciplines.

Source: proc_tty(5), tty_ldiscs_seq_show in drivers/tty/tty_ldisc.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.table import headless
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Discipline(Record, frozen=True):
    """One line discipline."""

    name: Annotated[str, doc("Its name")]
    number: Annotated[int, doc("Its number, as TIOCSETD takes it")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Discipline]:
    """The line disciplines, one a line."""
    return headless(
        raw,
        "name number",
        lambda row: Discipline(row("name", decoded), row("number", int), row.extra()),
    )
