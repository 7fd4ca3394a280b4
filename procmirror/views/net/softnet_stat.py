"""/proc/net/softnet_stat: how each CPU keeps up with received packets.

Source: softnet_seq_show, net/core/net-procfs.c.

Hexadecimal columns without a header; five have long been 0 and are left out here. 9 columns at first, received_rps since
2.6.35, flow_limit_count since 3.11, backlog_len and the CPU's number since 5.10, input_qlen and process_qlen later. Only CPUs
that are online have a line, so that before 5.10 nothing tells which CPU a line is of.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import lines, surplus
from procmirror.decode.text import columns
from procmirror.decode.view import Extra, Machine, Record, doc


class Softnet(Record, frozen=True):
    """One CPU; the counters wrap at 2^32."""

    cpu: Annotated[int | None, doc("Number of the CPU; null before Linux 5.10")]
    processed: Annotated[int, doc("Received by the CPU's receive loop", "packets")]
    dropped: Annotated[int, doc("Dropped because the CPU's backlog was full", "packets")]
    time_squeeze: Annotated[
        int, doc("How often the loop stopped with work left, its time or budget used up")
    ]
    cpu_collision: Annotated[int, doc("Collisions for a transmit lock; no longer counted")]
    received_rps: Annotated[
        int | None, doc("How often another CPU woke this one to receive for it")
    ]
    flow_limit_count: Annotated[
        int | None, doc("Packets dropped because one flow took too much of the backlog", "packets")
    ]
    backlog_len: Annotated[int | None, doc("Packets waiting now: both queues together", "packets")]
    input_qlen: Annotated[int | None, doc("Of these, waiting to be taken over", "packets")]
    process_qlen: Annotated[int | None, doc("Of these, being processed", "packets")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Softnet]:
    """One CPU a line."""
    return [_softnet(line.split()) for line in lines(raw)]


def _softnet(words: list[bytes]) -> Softnet:
    if len(words) < 9:
        raise ValueError(f"{len(words)} columns instead of 9 or more")
    found = [int(word, 16) for word in words[:15]]
    newer: list[int | None] = [*found[9:], *[None] * (15 - len(found))]
    rps, limit, backlog, cpu, queued, processing = newer
    return Softnet(
        cpu,
        found[0],
        found[1],
        found[2],
        found[8],
        rps,
        limit,
        backlog,
        queued,
        processing,
        surplus(words, 15),
    )


def text(cpus: list[Softnet], _: Machine) -> str:
    """One CPU a line, with what most often goes wrong."""
    header = (
        "CPU",
        "processed",
        "dropped",
        "time_squeeze",
        "received_rps",
        "flow_limit_count",
        "backlog_len",
    )
    rows = [
        ["?" if one.cpu is None else one.cpu, *(_shown(getattr(one, name)) for name in header[1:])]
        for one in cpus
    ]
    return columns(rows, header, right=range(len(header)))


def _shown(count: int | None) -> str:
    return "-" if count is None else str(count)
