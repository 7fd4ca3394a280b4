"""/proc/PID/latency: in which kernel functions the task was blocked, and how long.

Source: kernel/latencytop.c, fs/proc/base.c.

Needs CONFIG_LATENCYTOP and /proc/sys/kernel/latencytop; at most 32 different stacks are kept.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, counted, doc


class Latency(Record, frozen=True):
    """One stack in which the task waited."""

    count: Annotated[int, counted("How often")]
    total: Annotated[float, counted("How long altogether", "seconds")]
    longest: Annotated[float, doc("How long at most", "seconds")]
    backtrace: Annotated[list[str], doc("The functions, innermost first")]


def decode(raw: bytes, _: Machine) -> list[Latency]:
    """The records below the header; times are microseconds."""
    columns_of(raw, "Latency Top version : v0.1")
    return rows(raw, lambda line: _latency(line.split()), 1)


def _latency(words: list[bytes]) -> Latency:
    count, total, longest = map(int, words[:3])
    return Latency(count, total / 10**6, longest / 10**6, [decoded(name) for name in words[3:]])
