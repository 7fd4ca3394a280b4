"""/proc/PID/sched: what the scheduler knows of a thread.

Source: proc_sched_show_task in kernel/sched/debug.c, CONFIG_SCHED_DEBUG.

Not an interface: the names change from kernel to kernel. Values with six decimals are milliseconds.
Before Linux 5.14 the statistics are called `se.statistics.*`; they are there only while
/proc/sys/kernel/sched_schedstats is on.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded, interval, page, told
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.tasks import POLICIES

_HEAD = re.compile(rb"(.*?) \((-?\d{1,10}), #threads: (\d{1,10})\)\n-{20,}\n", re.DOTALL)
_NANOSECONDS = {
    "se.slice",
    "se.avg.last_update_time",
    "clock-delta",
    "dl.runtime",
    "dl.deadline",
    "dl.period",
}
_MILLISECONDS = re.compile(rb"-?\d{1,20}\.\d{6}")
_NUMBER = re.compile(rb"-?\d{1,20}")
_LEAST = -(1 << 63)
_NUMA = re.compile(rb"(?<!\w)(\w++)=(-?\d{1,19})\b")


class Sched(Record, frozen=True):
    """The values that every kernel since 2.6.32 has, and the others by the kernel's own names."""

    comm: Annotated[str | None, doc("Name of the thread")]
    pid: Annotated[int | None, doc("Thread ID")]
    threads: Annotated[int | None, doc("Threads of its process")]
    policy: Annotated[str | None, doc("Scheduling policy, see sched(7)")]
    prio: Annotated[
        int | None,
        doc("Priority in the kernel: 100 to 139 is nice -20 to 19, 0 to 98 is real-time 99 to 1"),
    ]
    sum_exec_runtime: Annotated[
        float | None, counted("Time on a CPU (se.sum_exec_runtime)", "seconds")
    ]
    nr_switches: Annotated[int | None, counted("Context switches")]
    nr_voluntary_switches: Annotated[int | None, counted("Of them, because it waited")]
    nr_involuntary_switches: Annotated[int | None, counted("Of them, because another had to run")]
    nr_migrations: Annotated[int | None, counted("Moves to another CPU (se.nr_migrations)")]
    values: Annotated[
        dict[str, float | int],
        doc(
            "All others by the kernel's names; times (six decimals, `dl.*`, slice, delta) in "
            "seconds"
        ),
    ]
    numa: Annotated[
        list[dict[str, int]],
        doc("The lines about NUMA nodes: the thread's node and group, faults of each node"),
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Sched:
    """The head, the values, the lines about nodes."""
    head = _HEAD.match(raw)
    values: dict[str, float | int] = {}
    numa = []
    extra: dict[str, str] = {}
    for line in lines(raw[head.end() :] if head else raw):
        key, colon, value = line.partition(b":")
        name = decoded(key.strip())
        if colon and (number := _value(name, value.strip())) is not None:
            values[name] = number
        elif nodes := _NUMA.findall(line):
            numa.append({decoded(name): int(number) for name, number in nodes})
        elif name:
            extra[name] = decoded(value.strip())
    if not head and not values:
        raise expected("NAME (NUMBER, #threads: NUMBER) above a line of dashes", raw)
    policy = _whole(values, "policy")
    return Sched(
        comm=decoded(head[1]) if head else None,
        pid=int(head[2]) if head else None,
        threads=int(head[3]) if head else None,
        policy=None if policy is None else POLICIES.get(policy, str(policy)),
        prio=_whole(values, "prio"),
        sum_exec_runtime=values.pop("se.sum_exec_runtime", None),
        nr_switches=_whole(values, "nr_switches"),
        nr_voluntary_switches=_whole(values, "nr_voluntary_switches"),
        nr_involuntary_switches=_whole(values, "nr_involuntary_switches"),
        nr_migrations=_whole(values, "se.nr_migrations"),
        values=values,
        numa=numa,
        extra=extra or UNSET,
    )


def _value(key: str, value: bytes) -> float | int | None:
    """A number; None for a text, and for a number of more than 64 bits."""
    if _MILLISECONDS.fullmatch(value):
        return float(Decimal(value.decode()).scaleb(-3))
    if not _NUMBER.fullmatch(value) or not _LEAST <= (number := int(value)) < 1 << 64:
        return None
    return number / 10**9 if key in _NANOSECONDS else number


def _whole(values: dict[str, float | int], key: str) -> int | None:
    return None if (value := values.pop(key, None)) is None else int(value)


def _shown(number: int | None) -> str:
    return "-" if number is None else str(number)


def _priority(prio: int | None) -> str:
    """The kernel's number in the words of sched(7); nothing where the policy alone decides."""
    if prio is None or prio < 0:
        return ""
    return f"real-time {99 - prio}" if prio < 100 else f"nice {prio - 120}"


def text(sched: Sched, _: Machine) -> str:
    """What tells how it is scheduled, then the rest as it is."""
    voluntary, forced = _shown(sched.nr_voluntary_switches), _shown(sched.nr_involuntary_switches)
    rows = [
        ("thread", f"{told(sched.comm)} ({told(sched.pid)}), {told(sched.threads)} in the process"),
        ("policy", ", ".join(filter(None, (sched.policy or "-", _priority(sched.prio))))),
        ("on-a-CPU", interval(sched.sum_exec_runtime)),
        (
            "switches",
            f"{_shown(sched.nr_switches)}, {voluntary} of them to wait, {forced} to let others run",
        ),
        ("migrations", _shown(sched.nr_migrations)),
        *(
            (key, interval(value) if isinstance(value, float) else str(value))
            for key, value in sched.values.items()
        ),
        *(
            ("numa", ", ".join(f"{key} {value}" for key, value in node.items()))
            for node in sched.numa
        ),
    ]
    return page(rows)
