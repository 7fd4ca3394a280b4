"""/proc/tty/drivers: the drivers of terminals (proc_tty(5), show_tty_range in fs/proc/proc_tty.c).

The name of the driver may have blanks; every path begins with /dev/.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

LINE = re.compile(r"(\S+(?: \S+)*) +(/dev/\S*) +(\d+) +(\d+)(?:-(\d+))? ([^\s:]+)(?::(\S+))?( .*)?")


class Driver(Record, frozen=True):
    """Numbers of one driver."""

    driver: Annotated[str, doc("Its name, or unknown")]
    path: Annotated[str, doc("The beginning of the paths of its devices")]
    major: Annotated[int, doc("Major number")]
    first: Annotated[int, doc("First minor number")]
    last: Annotated[int, doc("Last minor number")]
    type: Annotated[str, doc("system, console, serial, pty or a number")]
    subtype: Annotated[str | None, doc("What stands behind the type after a colon")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Driver]:
    """One range of numbers a line."""
    return rows(raw, lambda line: _driver(decoded(line)))


def _driver(line: str) -> Driver:
    match = matched(LINE, line, "NAME PATH MAJOR MINORS TYPE")
    name, path, major, first, last, kind, subtype, rest = match.groups()
    extra = {"6": rest.strip()} if rest else UNSET
    return Driver(name, path, int(major), int(first), int(last or first), kind, subtype, extra)


text = listing(
    "DRIVER driver",
    "PATH path",
    "MAJOR major number",
    "FIRST first number",
    "LAST last number",
    "TYPE type",
    "SUBTYPE subtype",
    none="no drivers\n",
)
