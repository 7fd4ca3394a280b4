"""/proc/softirqs: how often each CPU served each softirq (proc_softirqs(5), fs/proc/softirqs.c)."""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import per_cpu
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
    return [Softirq(name, total, cpus) for name, total, cpus, _ in per_cpu(raw)]


def text(found: list[Softirq], _: Machine) -> str:
    """The softirqs that were served, the most frequent first, with the CPU that served most."""
    rows = [
        (one.softirq, one.total, *busiest(one.cpus))
        for one in sorted(found, key=lambda one: -one.total)
        if one.total
    ]
    return columns(rows, ("SOFTIRQ", "TOTAL", "CPUS", "BUSIEST"), right=(1, 2, 3))
