"""/proc/misc: the drivers that share the major number 10 (proc_misc(5), drivers/char/misc.c)."""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Misc(Record, frozen=True):
    """One driver."""

    minor: Annotated[int, doc("The minor number")]
    name: Annotated[str, doc("What the driver calls itself")]


def decode(raw: bytes, _: Machine) -> list[Misc]:
    """The devices, one a line."""
    return rows(raw, _misc)


def _misc(line: bytes) -> Misc:
    minor, name = line.split(None, 1)
    return Misc(int(minor), decoded(name))
