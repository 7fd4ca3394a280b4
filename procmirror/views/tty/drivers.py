"""/proc/tty/drivers: the drivers of terminals (proc_tty(5), show_tty_range in fs/proc/proc_tty.c).

The name of the driver may have blanks, the rest has none: it is split from the right.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.shapes import lines
from procmirror.text import decoded
from procmirror.view import Machine, Record, doc


class Driver(Record, frozen=True):
    """Numbers of one driver."""

    driver: Annotated[str, doc("Its name, or unknown")]
    path: Annotated[str, doc("The beginning of the paths of its devices")]
    major: Annotated[int, doc("Major number")]
    first: Annotated[int, doc("First minor number")]
    last: Annotated[int, doc("Last minor number")]
    type: Annotated[str, doc("system, console, serial, pty or a number")]
    subtype: Annotated[str | None, doc("What stands behind the type after a colon")]


def decode(raw: bytes, _: Machine) -> list[Driver]:
    """One range of numbers a line."""
    return [_driver(decoded(line)) for line in lines(raw)]


def _driver(line: str) -> Driver:
    name, path, major, minors, kind = line.rsplit(None, 4)
    first, _, last = minors.partition("-")
    kind, _, subtype = kind.partition(":")
    return Driver(name, path, int(major), int(first), int(last or first), kind, subtype or None)
