"""/proc/PID/fdinfo/N: what the kernel says about one open file.

Source: proc_pid_fdinfo(5), fs/proc/fd.c and every show_fdinfo.

First come pos, flags (octal), mnt_id (since Linux 3.15) and ino (5.14), then the locks, then what
only the kind of file knows: many lines of one kind for epoll, inotify and fanotify. Numbers there
are decimal or hexadecimal as each author liked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from procmirror.decoding.shapes import flags, lines
from procmirror.decoding.table import matched
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Record, doc
from procmirror.kernel import files, open_flags, signals
from procmirror.views import locks

_COMMON = ("pos", "flags", "mnt_id", "ino")
_WORD = re.compile(r"([\w-]+): *(\S+)")
# The lines by which an io_uring is known: the first of old kernels and of new ones.
_RINGS = ("SqMask:", "SqThread:", "UserFiles:")
# The header of the table of a BPF link to several functions.
_TABLES = ("cookie\t", "cookie ", "offset\t", "offset ", "ref_ctr_offset")
_BPF = {"map_type", "link_type", "prog_type"}
_PAIR = re.compile(r"\(([0-9]+), ([0-9]+)\)")


class Lock(Record, frozen=True):
    """A lock that is held through the descriptor."""

    kind: Annotated[str, doc("POSIX (fcntl), OFDLCK (of an open file), FLOCK, LEASE or DELEG")]
    mode: Annotated[str, doc("ADVISORY; of a lease ACTIVE or BREAKING")]
    type: Annotated[str, doc("READ, WRITE or UNLCK")]
    pid: Annotated[int | None, doc("Who holds it; null for an open file")]
    device: Annotated[str | None, doc("Device of the file system, major:minor")]
    inode: Annotated[int | None, doc("Inode of the file")]
    start: Annotated[int | None, doc("First byte")]
    end: Annotated[int | None, doc("Last byte; null: to the end of the file")]


class Watch(Record, frozen=True):
    """A file that an epoll instance watches."""

    fd: Annotated[int, doc("The descriptor under which it was added")]
    events: Annotated[list[str], doc("The events it waits for")]
    data: Annotated[str, doc("What the program wants to be told")]
    pos: Annotated[int | None, doc("Its file offset", "bytes")]
    inode: Annotated[int | None, doc("Its inode")]
    device: Annotated[str | None, doc("The device of its inode, major:minor")]


class Eventfd(Record, frozen=True):
    """An eventfd(2)."""

    count: Annotated[int, doc("The counter")]
    id: Annotated[int | None, doc("Number of the object")]
    semaphore: Annotated[bool | None, doc("Whether read(2) takes one at a time")]


class Timerfd(Record, frozen=True):
    """A timerfd_create(2)."""

    clock: Annotated[str, doc("Its clock")]
    ticks: Annotated[int, doc("How often it has expired and was not read")]
    flags: Annotated[list[str], doc("Flags of the last timerfd_settime(2)")]
    value: Annotated[float, doc("Time to the next expiry; 0 if it is off", "seconds")]
    interval: Annotated[float, doc("Period; 0 if it expires once", "seconds")]


class Mark(Record, frozen=True):
    """What an inotify or fanotify group watches."""

    mask: Annotated[list[str], doc("The events that count")]
    ignored_mask: Annotated[list[str], doc("The events that are ignored")]
    wd: Annotated[int | None, doc("Watch descriptor (inotify)")] = None
    inode: Annotated[int | None, doc("Inode that is watched")] = None
    device: Annotated[
        str | None, doc("Device of the inode, or the file system that is watched, major:minor")
    ] = None
    mnt_id: Annotated[int | None, doc("Mount that is watched")] = None
    mnt_ns: Annotated[int | None, doc("Mount namespace that is watched (since Linux 6.14)")] = None
    flags: Annotated[list[str] | None, doc("Flags of the mark (fanotify)")] = None
    fhandle: Annotated[str | None, doc("File handle, type:hexadecimal")] = None


class Fanotify(Record, frozen=True):
    """A fanotify group."""

    flags: Annotated[list[str], doc("Flags of fanotify_init(2)")]
    event_flags: Annotated[list[str], doc("Open flags of the files it hands out")]
    marks: Annotated[list[Mark], doc("What it watches")]


class Pidfd(Record, frozen=True):
    """A pidfd_open(2)."""

    pid: Annotated[int, doc("The process; 0 if it is not visible, -1 if it is gone")]
    ns_pids: Annotated[list[int], doc("Its numbers in the pid namespaces below")]


class Bpf(Record, frozen=True):
    """A BPF object."""

    kind: Annotated[str, doc("`map`, `prog` or `link`")]
    type: Annotated[str, doc("Its type, by the name of bpftool(8)")]
    id: Annotated[int | None, doc("Its number")]
    fields: Annotated[dict[str, str], doc("What else the kernel says, as it says it")]
    entries: Annotated[
        list[str], doc("The table of a link to several functions (since Linux 6.17), with header")
    ]


class IoUring(Record, frozen=True):
    """An io_uring."""

    fields: Annotated[
        dict[str, str], doc("Heads, tails, masks and counts of the rings under the kernel's names")
    ]
    entries: Annotated[dict[str, list[str]], doc("The lines below `SQEs`, `CQEs`, `UserFiles`, …")]


class Info(Record, frozen=True):
    """One fdinfo file.

    `flags` begin with the access mode, `more` has the field of a descriptor that its kind of file
    fills.
    """

    pos: int | None
    flags: list[str]
    mnt_id: int | None
    ino: int | None
    locks: list[Lock]
    more: dict[str, Any]


def decode(raw: bytes, architecture: str) -> Info:
    """The common lines, the locks and the rest.

    Later lines under the names of earlier ones are some driver's.
    """
    rows = [decoded(line).partition(":") for line in lines(raw)]
    at = next((at for at, row in enumerate(rows) if row[0] not in _COMMON), len(rows))
    common = {key: value.strip() for key, _, value in rows[:at]}
    rest = at
    while rest < len(rows) and rows[rest][0] == "lock":
        rest += 1
    return Info(
        int(common["pos"]) if "pos" in common else None,
        open_flags.names(int(common["flags"], 8), architecture) if "flags" in common else [],
        int(common["mnt_id"]) if "mnt_id" in common else None,
        int(common["ino"]) if "ino" in common else None,
        [_lock(value.strip()) for _, _, value in rows[at:rest]],
        _more(["".join(row) for row in rows[rest:]], architecture),
    )


def _more(rows: list[str], architecture: str) -> dict[str, Any]:
    if any(row.startswith(_RINGS) for row in rows):
        return {"io_uring": _io_uring(rows)}
    table = next((at for at, row in enumerate(rows) if row.startswith(_TABLES)), len(rows))
    rows, entries = rows[:table], rows[table:]
    kinds: dict[str, list[str]] = {}
    for row in rows:
        key = (
            row.split(" ", 1)[0]
            if row.startswith(("inotify ", "fanotify "))
            else row.partition(":")[0]
        )
        kinds.setdefault(key.strip(), []).append(row)
    if "fanotify" in kinds:
        marks = _fanotify(kinds.pop("fanotify"), architecture)
        return {"fanotify": marks, **_extra(kinds)}
    for key, (field, make) in _KINDS.items():
        if key in kinds:
            if key in _BPF:
                return {field: make(kinds | {"": entries})}
            rest = {name: found for name, found in kinds.items() if name not in _FIELDS[field]}
            return {field: make(kinds), **_extra(rest)}
    return _extra(kinds)


def _extra(kinds: dict[str, list[str]]) -> dict[str, Any]:
    """The field `extra` with the lines of some keys; nothing without any."""
    extra = {key: [_value(row) for row in found] for key, found in kinds.items()}
    return {"extra": extra} if extra else {}


def _value(row: str) -> str:
    return row.partition(":")[2].strip()


def _lock(value: str) -> Lock:
    match = matched(locks.LINE, value, "a lock")
    pid, inode, start, end = (match[name] for name in ("pid", "inode", "start", "end"))
    return Lock(
        match["kind"],
        match["mode"],
        match["type"],
        None if int(pid) < 0 else int(pid),
        None if inode is None else f"{int(match['major'], 16)}:{int(match['minor'], 16)}",
        None if inode is None else int(inode),
        None if start is None else int(start),
        None if end in {None, "EOF"} else int(end),
    )


def _epoll(kinds: dict[str, list[str]]) -> list[Watch]:
    return [_watch(dict(_WORD.findall(row))) for row in kinds["tfd"]]


def _watch(words: dict[str, str]) -> Watch:
    return Watch(
        int(words["tfd"]),
        flags(int(words["events"], 16), files.EPOLL),
        f"0x{int(words['data'], 16):x}",
        int(words["pos"]) if "pos" in words else None,
        int(words["ino"], 16) if "ino" in words else None,
        files.device(int(words["sdev"], 16)) if "sdev" in words else None,
    )


def _eventfd(kinds: dict[str, list[str]]) -> Eventfd:
    first = {key: _value(rows[0]) for key, rows in kinds.items()}
    number, semaphore = first.get("eventfd-id"), first.get("eventfd-semaphore")
    return Eventfd(
        int(first["eventfd-count"], 16),
        None if number is None else int(number),
        None if semaphore is None else semaphore != "0",
    )


def _timerfd(kinds: dict[str, list[str]]) -> Timerfd:
    first = {key: _value(rows[0]) for key, rows in kinds.items()}
    return Timerfd(
        files.CLOCKS.get(int(first["clockid"]), first["clockid"]),
        int(first["ticks"]),
        flags(int(first["settime flags"], 8), files.TIMERFD),
        _seconds(first["it_value"]),
        _seconds(first["it_interval"]),
    )


def _seconds(value: str) -> float:
    match = matched(_PAIR, value, "(SECONDS, NANOSECONDS)")
    return int(match[1]) + int(match[2]) / 1e9


def _signalfd(kinds: dict[str, list[str]]) -> list[str]:
    return list(signals.names(int(_value(kinds["sigmask"][0]), 16)))


def _inotify(kinds: dict[str, list[str]]) -> list[Mark]:
    return [_mark(row, files.INOTIFY) for row in kinds["inotify"]]


def _fanotify(rows: list[str], architecture: str) -> Fanotify:
    group, *marks = rows
    words = dict(_WORD.findall(group))
    return Fanotify(
        flags(int(words["flags"], 16), files.FANOTIFY_GROUP),
        open_flags.names(int(words["event-flags"], 16), architecture),
        [_mark(row, files.FANOTIFY) for row in marks],
    )


def _mark(row: str, names: dict[int, str]) -> Mark:
    words = dict(_WORD.findall(row))
    number = {
        key: int(words[key], 16)
        for key in ("wd", "ino", "sdev", "mnt_id", "mflags")
        if key in words
    }
    handle = words.get("f_handle")
    return Mark(
        flags(int(words["mask"], 16), names),
        flags(int(words["ignored_mask"], 16), names),
        number.get("wd"),
        number.get("ino"),
        files.device(number["sdev"]) if "sdev" in number else None,
        number.get("mnt_id"),
        int(words["mnt_ns"]) if "mnt_ns" in words else None,
        flags(number["mflags"], files.FANOTIFY_MARK) if "mflags" in number else None,
        None if handle is None else f"{int(words['fhandle-type'], 16)}:{handle}",
    )


def _pidfd(kinds: dict[str, list[str]]) -> Pidfd:
    numbers = _value(kinds["NSpid"][0]).split() if "NSpid" in kinds else []
    return Pidfd(int(_value(kinds["Pid"][0])), [int(number) for number in numbers])


def _bpf(kinds: dict[str, list[str]]) -> Bpf:
    entries = kinds.pop("", [])
    fields = {key: _value(rows[0]) for key, rows in kinds.items()}
    kind = next(kind for kind in ("map", "link", "prog") if f"{kind}_type" in fields)
    named, number = fields.pop(f"{kind}_type"), fields.pop(f"{kind}_id", None)
    if named.isdecimal():
        named = (files.BPF_MAPS if kind == "map" else files.BPF_PROGRAMS).get(int(named), named)
    return Bpf(
        kind,
        named,
        None if number is None else int(number),
        fields,
        [" ".join(entry.split()) for entry in entries],
    )


def _io_uring(rows: list[str]) -> IoUring:
    fields: dict[str, str] = {}
    entries: dict[str, list[str]] = {}
    last = ""
    for row in rows:
        key, colon, value = row.partition(":")
        if colon and key and not key[0].isspace():
            last = key
            if value.strip():
                fields[key] = value.strip()
        elif row.strip():
            entries.setdefault(last, []).append(row.strip())
    return IoUring(fields, entries)


# The keys whose lines the record of a kind has.
_FIELDS = {
    "epoll": {"tfd"},
    "eventfd": {"eventfd-count", "eventfd-id", "eventfd-semaphore"},
    "timerfd": {"clockid", "ticks", "settime flags", "it_value", "it_interval"},
    "signalfd": {"sigmask"},
    "inotify": {"inotify"},
    "pidfd": {"Pid", "NSpid"},
}
# The key by which a kind of file is known, the field it fills, and how.
_KINDS: dict[str, tuple[str, Callable[[dict[str, list[str]]], Any]]] = {
    "tfd": ("epoll", _epoll),
    "eventfd-count": ("eventfd", _eventfd),
    "clockid": ("timerfd", _timerfd),
    "sigmask": ("signalfd", _signalfd),
    "inotify": ("inotify", _inotify),
    "Pid": ("pidfd", _pidfd),
    "map_type": ("bpf", _bpf),
    "link_type": ("bpf", _bpf),
    "prog_type": ("bpf", _bpf),
}
