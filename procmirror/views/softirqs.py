"""/proc/softirqs: how often each CPU served each softirq (proc_softirqs(5), fs/proc/softirqs.c)."""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import per_cpu
from procmirror.decoding.view import Machine, Record, doc


class Softirq(Record, frozen=True):
    """One row."""

    softirq: Annotated[str, doc("Its name")]
    total: Annotated[int, doc("How often it was served, on all CPUs together")]
    cpus: Annotated[dict[int, int], doc("How often by each CPU")]


def decode(raw: bytes, _: Machine) -> list[Softirq]:
    """The rows in their order."""
    return [Softirq(name, total, cpus) for name, total, cpus, _ in per_cpu(raw)]
