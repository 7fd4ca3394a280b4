"""/proc/schedstat: statistics of the scheduler.

Source: Documentation/scheduler/sched-stats.rst, kernel/sched/stats.c.

Version 16 (Linux 6.10) put busy before idle; version 17 (6.14) named the domains and split
`lb_imbalance`. Of other versions the CPUs are read, and the numbers of the domains stay as they
are.
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.reasons import SURPRISES, expected
from procmirror.decoding.shapes import cpu_mask, extra_by_position, lines, number
from procmirror.decoding.table import Row
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc

IMBALANCE_15 = ("imbalance",)
IMBALANCE_17 = ("imbalance_load", "imbalance_util", "imbalance_task", "imbalance_misfit")
IDLE = {
    15: ("idle", "busy", "newly_idle"),
    16: ("busy", "idle", "newly_idle"),
    17: ("busy", "idle", "newly_idle"),
}
LAST = (
    *(
        "alb_count",
        "alb_failed",
        "alb_pushed",
        "sbe_count",
        "sbe_balanced",
        "sbe_pushed",
        "sbf_count",
        "sbf_balanced",
    ),
    *("sbf_pushed", "ttwu_wake_remote", "ttwu_move_affine", "ttwu_move_balance"),
)


class Domain(Record, frozen=True):
    """One scheduling domain of a CPU."""

    domain: Annotated[int, doc("Its level, 0 is the closest")]
    name: Annotated[str | None, doc("Its name (since version 17)")]
    cpus: Annotated[list[int], doc("The CPUs in it")]
    load_balance: Annotated[
        dict[str, dict[str, int]], counted("Counts of load_balance() by the state of the CPU")
    ]
    counts: Annotated[
        dict[str, int], counted("Other counts; under their numbers in an unknown version")
    ]


class Cpu(Record, frozen=True):
    """One CPU."""

    cpu: Annotated[int, doc("Its number")]
    yld_count: Annotated[int, counted("Calls of sched_yield()")]
    sched_count: Annotated[int, counted("Calls of schedule()")]
    sched_goidle: Annotated[int, counted("Calls of schedule() that left it idle")]
    ttwu_count: Annotated[int, counted("Calls of try_to_wake_up()")]
    ttwu_local: Annotated[int, counted("Calls of try_to_wake_up() for this CPU")]
    rq_cpu_time: Annotated[float, counted("Time in which tasks ran", "seconds")]
    run_delay: Annotated[
        float, counted("Time in which tasks waited to run, summed over them", "seconds")
    ]
    pcount: Annotated[int, counted("Time slices")]
    domains: Annotated[list[Domain], doc("Its scheduling domains")]
    extra: Extra = UNSET


class Schedstat(Record, frozen=True):
    """The whole file."""

    version: Annotated[int | None, doc("Version of the format")]
    timestamp: Annotated[int | None, doc("Time of the reading", "jiffies")]
    cpus: Annotated[list[Cpu], doc("Each CPU that is online")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Schedstat:
    """The CPUs, each with the domains that follow it."""
    pairs = [words for words in map(bytes.split, lines(raw)) if len(words) == 2]
    facts = Row([decoded(words[0]) for words in pairs], [words[1] for words in pairs])
    version, timestamp = facts.tried("version", number), facts.tried("timestamp", number)
    cpus: list[Cpu] = []
    extra: dict[str, str] = {}
    above: Cpu | None = None  # nobody's are the domains below an odd line
    for words in filter(None, map(bytes.split, lines(raw))):
        try:
            if words[0] not in {b"version", b"timestamp"}:
                above = _added(cpus, above, words, version or 0)
        except SURPRISES:
            above = above if words[0].startswith(b"domain") else None
            name, line = decoded(words[0]), decoded(b" ".join(words))
            extra |= {line: ""} if name in extra else {name: line[len(name) + 1 :]}
    left = facts.extra() or {}
    extra |= {name: left[name] for name in ("version", "timestamp") if name in left}
    if not cpus:
        facts.settle()
    return Schedstat(version, timestamp, cpus, extra or UNSET)


def _added(cpus: list[Cpu], above: Cpu | None, words: list[bytes], version: int) -> Cpu:
    """The CPU of a line, or that above it with the domain of the line; ValueError for another."""
    if re.fullmatch(rb"cpu\d+", words[0]):
        cpus.append(_cpu(words))
        return cpus[-1]
    if above is None or not re.fullmatch(rb"domain\d+", words[0]):
        raise expected("cpuN, or domainN below it", words[0])
    above.domains.append(_domain(list(words), version))
    return above


def _cpu(words: list[bytes]) -> Cpu:
    yields, _legacy, calls, idle, wakes, local, running, waiting, slices = map(number, words[1:10])
    times = running / 1e9, waiting / 1e9
    return Cpu(
        number(words[0][3:]),
        yields,
        calls,
        idle,
        wakes,
        local,
        *times,
        slices,
        [],
        extra=extra_by_position(words, 10),
    )


def _domain(words: list[bytes], version: int) -> Domain:
    level = number(words[0].removeprefix(b"domain"))
    name = decoded(words.pop(1)) if version >= 17 else None
    cpus, values = cpu_mask(decoded(words[1])), [number(word) for word in words[2:]]
    imbalance = IMBALANCE_17 if version >= 17 else IMBALANCE_15
    titles = (
        "count",
        "balanced",
        "failed",
        *imbalance,
        "gained",
        "hot_gained",
        "nobusyq",
        "nobusyg",
    )
    if version not in IDLE or len(values) != 3 * len(titles) + len(LAST):
        return Domain(level, name, cpus, {}, {str(at): value for at, value in enumerate(values, 1)})
    balance = {
        idle: dict(zip(titles, values[at * len(titles) :], strict=False))
        for at, idle in enumerate(IDLE[version])
    }
    return Domain(
        level, name, cpus, balance, dict(zip(LAST, values[3 * len(titles) :], strict=True))
    )
