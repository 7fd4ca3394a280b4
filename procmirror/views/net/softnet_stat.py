"""/proc/net/softnet_stat: how each CPU keeps up with received packets.

Source: softnet_seq_show, net/core/net-procfs.c.

Hexadecimal columns without a header; five have long been 0 and are left out here. 9 columns at
first, received_rps since 2.6.35, flow_limit_count since 3.11, backlog_len and the CPU's number
since 5.10, input_qlen and process_qlen later. Only CPUs that are online have a line, so that before
5.10 nothing tells which CPU a line is of.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import hexadecimal
from procmirror.decoding.table import Row, headless
from procmirror.decoding.text import columns
from procmirror.decoding.view import Extra, Machine, Record, counted, doc


class Softnet(Record, frozen=True):
    """One CPU; the counters wrap at 2^32."""

    cpu: Annotated[int | None, doc("Number of the CPU; null before Linux 5.10")]
    processed: Annotated[int, counted("Received by the CPU's receive loop", "packets")]
    dropped: Annotated[int, counted("Dropped because the CPU's backlog was full", "packets")]
    time_squeeze: Annotated[
        int, counted("How often the loop stopped with work left, its time or budget used up")
    ]
    cpu_collision: Annotated[int, doc("Collisions for a transmit lock; no longer counted")]
    received_rps: Annotated[
        int | None, counted("How often another CPU woke this one to receive for it")
    ]
    flow_limit_count: Annotated[
        int | None,
        counted("Packets dropped because one flow took too much of the backlog", "packets"),
    ]
    backlog_len: Annotated[int | None, doc("Packets waiting now: both queues together", "packets")]
    input_qlen: Annotated[int | None, doc("Of these, waiting to be taken over", "packets")]
    process_qlen: Annotated[int | None, doc("Of these, being processed", "packets")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Softnet]:
    """One CPU a line."""
    return headless(raw, _NAMES, _softnet)


_OLD = "processed dropped time_squeeze 4 5 6 7 8 cpu_collision"
_NAMES = f"{_OLD} received_rps flow_limit_count backlog_len cpu input_qlen process_qlen"


def _softnet(row: Row) -> Softnet:
    for name in "45678":
        row(name, hexadecimal)
    return Softnet(
        cpu=row.may("cpu", hexadecimal),
        processed=row("processed", hexadecimal),
        dropped=row("dropped", hexadecimal),
        time_squeeze=row("time_squeeze", hexadecimal),
        cpu_collision=row("cpu_collision", hexadecimal),
        received_rps=row.may("received_rps", hexadecimal),
        flow_limit_count=row.may("flow_limit_count", hexadecimal),
        backlog_len=row.may("backlog_len", hexadecimal),
        input_qlen=row.may("input_qlen", hexadecimal),
        process_qlen=row.may("process_qlen", hexadecimal),
        extra=row.extra(),
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
    named = [name.removesuffix("_count").upper() for name in header]
    return columns(rows, named, right=range(len(header)))


def _shown(count: int | None) -> str:
    return "-" if count is None else str(count)
