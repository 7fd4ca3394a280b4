"""/proc/consoles: the consoles of the kernel (proc_consoles(5), fs/proc/consoles.c)."""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.listing import listing
from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

LINE = re.compile(r"(\S+) +([R-])([W-])([U-]) \(([^)]*)\)(?: +(\d+:\d+))?")
OPERATIONS = ("read", "write", "unblank")
FLAGS = {
    "E": "enabled",
    "C": "preferred",
    "B": "boot",
    "N": "nbcon",
    "p": "printk",
    "b": "braille",
    "a": "anytime",
}


class Console(Record, frozen=True):
    """One console."""

    name: Annotated[str, doc("Driver and number")]
    operations: Annotated[list[str], doc("What it can: read, write, unblank")]
    flags: Annotated[
        list[str], doc("enabled, preferred (/dev/console), boot, nbcon, printk, braille, anytime")
    ]
    device: Annotated[str | None, doc("Device number, major:minor, if it is a terminal")]


def decode(raw: bytes, _: Machine) -> list[Console]:
    """One console a line."""
    return rows(raw, lambda line: _console(decoded(line)))


def _console(line: str) -> Console:
    match = matched(LINE, line, "NAME OPERATIONS (FLAGS) DEVICE")
    operations = [
        word for word, letter in zip(OPERATIONS, match.group(2, 3, 4), strict=True) if letter != "-"
    ]
    return Console(
        match[1],
        operations,
        [FLAGS.get(letter, letter) for letter in match[5].replace(" ", "")],
        match[6],
    )


text = listing(
    "CONSOLE name", "DEVICE device", "CAN operations", "FLAGS flags", none="no consoles\n"
)
