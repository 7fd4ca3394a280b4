"""/proc/softirqs: how often each CPU served each softirq (proc_softirqs(5), fs/proc/softirqs.c)."""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import cpus_of, per_cpu
from procmirror.decoding.table import rows
from procmirror.decoding.text import columns
from procmirror.decoding.view import Machine, Record, counted, doc
from procmirror.views.interrupts import busiest


class Softirq(Record, frozen=True):
    """One row."""

    softirq: Annotated[str, doc("Its name")]
    total: Annotated[int, counted("How often it was served, on all CPUs together")]
    cpus: Annotated[dict[int, int], counted("How often by each CPU")]


def decode(raw: bytes, _: Machine) -> list[Softirq]:
    """The rows in their order."""
    online = cpus_of(raw)
    return rows(raw, lambda line: _softirq(*per_cpu(online, line)), 1)


def _softirq(name: str, total: int, cpus: dict[int, int], after: bytes) -> Softirq:
    if after:
        raise expected("counts only", after)
    return Softirq(name, total, cpus)


def text(found: list[Softirq], _: Machine) -> str:
    """The softirqs that were served, the most frequent first, with the CPU that served most."""
    shown = [
        (one.softirq, one.total, *busiest(one.cpus))
        for one in sorted(found, key=lambda one: -one.total)
        if one.total
    ]
    return columns(shown, ("SOFTIRQ", "TOTAL", "CPUS", "BUSIEST"), right=(1, 2, 3))
