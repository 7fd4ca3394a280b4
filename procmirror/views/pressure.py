"""/proc/pressure/*: how much tasks wait for CPU, memory, I/O or interrupts.

Source: Documentation/accounting/psi.rst.

`full` of the CPU came with Linux 5.13 and is 0 for the whole machine; interrupts, since 6.1, have
`full` only.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import lines, record_with_extra
from procmirror.decoding.text import columns, decoded, duration
from procmirror.decoding.view import Extra, Machine, Record, counted, doc


class Pressure(Record, frozen=True):
    """One line."""

    avg10: Annotated[float, doc("Share of the last 10 seconds in which tasks waited", "percent")]
    avg60: Annotated[float, doc("Share of the last minute", "percent")]
    avg300: Annotated[float, doc("Share of the last 5 minutes", "percent")]
    total: Annotated[float, counted("Time in which tasks waited, since the boot", "seconds")]
    extra: Extra = UNSET


class Stall(Record, frozen=True):
    """The pressure on some and on all tasks: both lines."""

    some: Annotated[Pressure | None, doc("At least one task waited")] = None
    full: Annotated[Pressure | None, doc("All tasks that were not idle waited at once")] = None
    extra: Extra = UNSET


_LINE = re.compile(r"(some|full)((?: \w++=\S*+)++)")
_SHARE, _TOTAL = re.compile(r"\d{1,15}(?:\.\d{1,15})?"), re.compile(r"\d{1,20}")
_SHARES = ("avg10", "avg60", "avg300")


def decode(raw: bytes, _: Machine) -> Stall:
    """The lines by their names; a line of another form is kept as text."""
    found: dict[str, Pressure | str] = {}
    for line in map(decoded, lines(raw)):
        match = _LINE.fullmatch(line)
        name = line.partition(" ")[0]
        if name in found:
            found[line] = ""
        else:
            told = _pressure(match[2]) if match else None
            found[name] = told or line[len(name) + 1 :]
    return record_with_extra(Stall, found)


def _pressure(text: str) -> Pressure | None:
    """The facts of a line; None if one that every line has is not there or no number."""
    facts = dict(word.split("=", 1) for word in text.split())
    shares = [facts.get(name, "") for name in _SHARES]
    if not all(map(_SHARE.fullmatch, shares)) or not _TOTAL.fullmatch(facts.get("total", "")):
        return None
    return record_with_extra(Pressure, {**facts, "total": int(facts["total"]) / 1e6})


def text(stall: Stall, _: Machine) -> str:
    """How much of the time tasks waited: some of them, and all that were not idle."""
    rows = [
        (word, f"{one.avg10:.2f}%", f"{one.avg60:.2f}%", f"{one.avg300:.2f}%", duration(one.total))
        for word, one in (("some", stall.some), ("full", stall.full))
        if one
    ]
    header = ("TASKS", "10S", "60S", "300S", "TOTAL")
    return columns(rows, header, right=range(1, 5)) if rows else "nothing was counted\n"
