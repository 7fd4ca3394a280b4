"""The descriptors of poll(2), select(2) and epoll_wait(2), for the first line of a stack."""

from __future__ import annotations

import re
from typing import NamedTuple

from procmirror.stack.syscalls import SystemCall

PHRASE = "an event on a descriptor"
MOST = 3  # descriptors that are named
_MOST_TEXT = 80  # characters of the target of one
# A line of `notes`: `POLLIN|POLLPRI of 3<pipe:[4711]>`, `read of 5`.
_LINE = re.compile(r"([A-Za-z0-9|]+) of (\d{1,10})(<.*>)?")
_MORE = re.compile(r"and (\d+) more")
_READS = re.compile(r"read|E?POLL(?:IN|RDNORM|RDBAND|PRI)")


class Watched(NamedTuple):
    """A descriptor of a set; `reads`: data are waited for, else room."""

    number: int
    text: str
    reads: bool


def watched(call: SystemCall) -> tuple[list[Watched], int]:
    """The first descriptors of the set, and how many others there are."""
    found = [match for note in call.notes if (match := _LINE.fullmatch(note))]
    left_out = sum(int(match[1]) for note in call.notes if (match := _MORE.fullmatch(note)))
    shown = [
        Watched(int(match[2]), f"{match[2]}{_cut(match[3] or '')}", bool(_READS.search(match[1])))
        for match in found[:MOST]
    ]
    return shown, len(found) - len(shown) + left_out


def _cut(target: str) -> str:
    return target if len(target) <= _MOST_TEXT else f"{target[: _MOST_TEXT - 2]}…>"
