"""/proc/PID/limits: the resource limits of a process, a header and fixed columns.

Source: proc_pid_limits(5), fs/proc/base.c.

The unit is missing where a limit has none.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.table import columns_of, matched, rows
from procmirror.decoding.text import columns, decoded, duration, size
from procmirror.decoding.view import Machine, Record, doc

_RESOURCES = {
    "Max cpu time": "RLIMIT_CPU",
    "Max file size": "RLIMIT_FSIZE",
    "Max data size": "RLIMIT_DATA",
    "Max stack size": "RLIMIT_STACK",
    "Max core file size": "RLIMIT_CORE",
    "Max resident set": "RLIMIT_RSS",
    "Max processes": "RLIMIT_NPROC",
    "Max open files": "RLIMIT_NOFILE",
    "Max locked memory": "RLIMIT_MEMLOCK",
    "Max address space": "RLIMIT_AS",
    "Max file locks": "RLIMIT_LOCKS",
    "Max pending signals": "RLIMIT_SIGPENDING",
    "Max msgqueue size": "RLIMIT_MSGQUEUE",
    "Max nice priority": "RLIMIT_NICE",
    "Max realtime priority": "RLIMIT_RTPRIO",
    "Max realtime timeout": "RLIMIT_RTTIME",
}


# Two blanks or more end the name, which has 25 characters before a blank.
_LINE = re.compile(rb"(\S.*?) +(unlimited|\d+) +(unlimited|\d+)(?: +(\S+))? *")


class Limit(Record, frozen=True):
    """One resource."""

    limit: Annotated[str, doc("The kernel's words for the resource")]
    resource: Annotated[
        str | None, doc("Its name for getrlimit(2); null for one that this version does not know")
    ]
    soft: Annotated[int | float | None, doc("The limit in force, in `unit`; null: unlimited")]
    hard: Annotated[
        int | float | None, doc("How far an unprivileged process may raise it; null: unlimited")
    ]
    unit: Annotated[str | None, doc("bytes, seconds, or what is counted; null for priorities")]


def decode(raw: bytes, _: Machine) -> list[Limit]:
    """The rows below the header."""
    columns_of(raw, "Limit Soft Limit Hard Limit Units")
    return rows(raw, _limit, 1)


def _limit(line: bytes) -> Limit:
    match = matched(_LINE, line, "NAME SOFT HARD UNIT")
    unit = None if match[4] is None else decoded(match[4])
    scale = 10**6 if unit == "us" else 1
    name, unit = decoded(match[1]), "seconds" if unit == "us" else unit
    return Limit(name, _RESOURCES.get(name), _bound(match[2], scale), _bound(match[3], scale), unit)


def _bound(word: bytes, scale: int) -> int | float | None:
    if word == b"unlimited":
        return None
    return int(word) if scale == 1 else int(word) / scale


def text(limits: list[Limit], _: Machine) -> str:
    """One limit a line, sizes and times in their units."""
    rows = [
        (one.resource or one.limit, _shown(one.soft, one.unit), _shown(one.hard, one.unit))
        for one in limits
    ]
    return columns(rows, ("RESOURCE", "SOFT", "HARD"), right=(1, 2))


def _shown(value: float | None, unit: str | None) -> str:
    if value is None:
        return "unlimited"
    if unit == "bytes":
        return size(value)
    return duration(value) if unit == "seconds" else str(value)
