"""/proc/bus/input/handlers: what input devices can be handled by.

Source: input_handlers_seq_show in drivers/input/input.c.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.table import matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc

LINE = re.compile(r"N: Number=(\d+) Name=(\S+)( \(filter\))?((?: \w+=\S*)*)")


class Handler(Record, frozen=True):
    """One handler."""

    number: Annotated[int, doc("Its number")]
    name: Annotated[str, doc("Its name")]
    filter: Annotated[bool, doc("May keep events from the others")]
    minor: Annotated[int | None, doc("First minor number of its devices")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Handler]:
    """One handler a line."""
    return rows(raw, lambda line: _handler(decoded(line)))


def _handler(line: str) -> Handler:
    match = matched(LINE, line, "N: Number=… Name=…")
    facts = dict(word.split("=", 1) for word in match[4].split())
    minor = facts.pop("Minor", None)
    return Handler(
        int(match[1]), match[2], bool(match[3]), int(minor) if minor else None, facts or UNSET
    )
