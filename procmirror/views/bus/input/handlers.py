"""/proc/bus/input/handlers: what input devices can be handled by (input_handlers_seq_show in drivers/input/input.c)."""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.shapes import lines
from procmirror.text import decoded
from procmirror.view import Machine, Record, doc

LINE = re.compile(r"N: Number=(\d+) Name=(\S+)( \(filter\))?(?: Minor=(\d+))?")


class Handler(Record, frozen=True):
    """One handler."""

    number: Annotated[int, doc("Its number")]
    name: Annotated[str, doc("Its name")]
    filter: Annotated[bool, doc("May keep events from the others")]
    minor: Annotated[int | None, doc("First minor number of its devices")]


def decode(raw: bytes, _: Machine) -> list[Handler]:
    """One handler a line."""
    return [_handler(decoded(line)) for line in lines(raw)]


def _handler(line: str) -> Handler:
    match = LINE.fullmatch(line)
    if not match:
        raise ValueError(f"no handler: {line[:40]!r}")
    number, name, filters, minor = match.groups()
    return Handler(int(number), name, bool(filters), int(minor) if minor else None)
