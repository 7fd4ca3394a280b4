"""/proc/PID/limits: the resource limits of a process, and what it uses of them.

Source: proc_pid_limits(5), fs/proc/base.c; status, stat and the size of fd/ for the use.

A header and fixed columns; the unit is missing where a limit has none. What the kernel counts for a
user is told nowhere, but for pending signals; threads of the user are counted here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import field
from msgspec.structs import replace

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import why
from procmirror.decoding.table import Rows, columns_of, matched, rows
from procmirror.decoding.text import columns, decoded, duration, size
from procmirror.decoding.view import Incomplete, Keeps, Machine, Reading, Record, doc
from procmirror.views.pid import stat, status, status_fast
from procmirror.views.pid.user_threads import Counted, counted, user_namespace

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
_LINE = re.compile(rb"(\S(?:.*?\S)??) ++(unlimited|\d++) ++(unlimited|\d++)(?: ++(\S++))?+ *+")


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
    used: Annotated[
        int | float | None,
        doc(
            "What is used of it, in `unit`; of RLIMIT_NPROC the threads of the real user that the "
            "requester may see; null where no file tells it"
        ),
    ] = None
    incomplete: Annotated[
        list[Incomplete],
        doc("Why its use cannot be told; empty if it can, or if nothing is used of such a limit"),
    ] = field(default_factory=list)


def decode(raw: bytes, _: Machine) -> Rows[Limit]:
    """The rows below the header."""
    columns_of(raw, "Limit Soft Limit Hard Limit Units")
    return rows(raw, _limit, 1)


def join(reading: Reading, machine: Machine) -> Rows[Limit]:
    """The limits with their use; where other files may not be read it is said why."""
    limits = decode(reading.read("limits"), machine)
    parts = Parts(reading, machine)
    told, times = parts.file("status", status_fast.decode), parts.file("stat", stat.decode)
    # The kernel counts descriptors since Linux 6.2; 0 is what older ones say.
    fds = parts.made("fd", lambda: reading.size("fd")) or None
    shown = with_use(limits, told, times, fds)
    threads = _threads(reading, told)
    return shown.as_records(lambda one: _counted(_excused(one, parts.incomplete), threads))


def _threads(reading: Reading, told: status.Status | None) -> Counted:
    """The threads of the real user, for all limits that are asked about within a moment."""
    uid = told.Uid.real if told and told.Uid else None
    if uid is None:
        return Counted(None, (Incomplete("used", "the real user is not known"),))
    space = user_namespace(reading)
    try:
        if isinstance(reading, Keeps):
            return reading.kept(f"{uid} in {space}", lambda: counted(reading, uid, space))
        return counted(reading, uid, space)
    except FileNotFoundError:
        return Counted(None, (Incomplete("used", "no other process is seen"),))
    except OSError as failure:
        return Counted(None, (Incomplete("used", why(failure)),))


def _counted(one: Limit, threads: Counted) -> Limit:
    if one.resource != "RLIMIT_NPROC":
        return one
    return replace(one, used=threads.threads, incomplete=[*threads.incomplete])


# The files that tell the use, where that is another than status.
_TOLD_BY = {"RLIMIT_NOFILE": "fd", "RLIMIT_CPU": "stat"}
_OF_STATUS = {
    "RLIMIT_AS": "VmSize",
    "RLIMIT_DATA": "VmData",
    "RLIMIT_STACK": "VmStk",
    "RLIMIT_MEMLOCK": "VmLck",
    "RLIMIT_RSS": "VmRSS",
}


# What the kernel counts for a whole user, and no file tells.
_OF_USER = {"RLIMIT_MSGQUEUE": "counted for the user; no file tells it"}


def _excused(one: Limit, incomplete: Sequence[Incomplete]) -> Limit:
    """A limit with the reason for which its use is not known."""
    if one.used is not None:
        return one
    if one.resource in _OF_USER:
        return replace(one, incomplete=[Incomplete("used", _OF_USER[one.resource])])
    of_status = "status" if one.resource in {*_OF_STATUS, "RLIMIT_SIGPENDING"} else ""
    source = _TOLD_BY.get(one.resource or "", of_status)
    return replace(one, incomplete=[part for part in incomplete if part.part == source])


def with_use(
    limits: Rows[Limit], told: status.Status | None, times: stat.Stat | None, fds: int | None
) -> Rows[Limit]:
    """The limits with what is used of them, where that is known."""
    used: dict[str | None, float | None] = {"RLIMIT_NOFILE": fds}
    if times:
        spent = stat.cpu_time(times)
        used["RLIMIT_CPU"] = None if spent is None else round(spent, 2)
    if told:
        used |= {resource: getattr(told, name) for resource, name in _OF_STATUS.items()}
        used["RLIMIT_SIGPENDING"] = told.SigQ.queued if told.SigQ else None
    return limits.as_records(lambda one: replace(one, used=used.get(one.resource)))


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
    """One limit a line with its use, sizes and times in their units."""
    rows = [
        (
            one.resource or one.limit,
            "-" if one.used is None else _shown(one.used, one.unit),
            _shown(one.soft, one.unit),
            _shown(one.hard, one.unit),
        )
        for one in limits
    ]
    missing = {
        f"{one.resource if part.part == 'used' else part.part}: {part.reason}"
        for one in limits
        for part in one.incomplete
    }
    table = columns(rows, ("RESOURCE", "USED", "SOFT", "HARD"), right=(1, 2, 3))
    return table + "".join(f"incomplete: {one}\n" for one in sorted(missing))


def _shown(value: float | None, unit: str | None) -> str:
    if value is None:
        return "unlimited"
    if unit == "bytes":
        return size(value)
    return duration(value) if unit == "seconds" else str(value)
