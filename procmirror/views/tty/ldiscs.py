"""/proc/tty/ldiscs: the line disciplines (proc_tty(5), tty_ldiscs_seq_show in drivers/tty/tty_ldisc.c)."""

from __future__ import annotations

from typing import Annotated

from procmirror.shapes import lines
from procmirror.text import decoded
from procmirror.view import Machine, Record, doc


class Discipline(Record, frozen=True):
    """One line discipline."""

    name: Annotated[str, doc("Its name")]
    number: Annotated[int, doc("Its number, as TIOCSETD takes it")]


def decode(raw: bytes, _: Machine) -> list[Discipline]:
    """One a line."""
    rows = (line.rsplit(None, 1) for line in lines(raw))
    return [Discipline(decoded(name), int(number)) for name, number in rows]
