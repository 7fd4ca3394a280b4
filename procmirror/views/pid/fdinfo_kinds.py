"""The kinds of files of which /proc/PID/fdinfo/N tells more than of any file, one row a kind.

Source: proc_pid_fdinfo(5), every show_fdinfo of the kernel. Numbers are decimal or hexadecimal as
each author liked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from procmirror.decoding.shapes import flags, hexadecimal
from procmirror.decoding.shapes import number as whole
from procmirror.decoding.table import matched
from procmirror.decoding.view import Record, doc
from procmirror.kernel import files, open_flags, signals

# Lines of a file, by the key that they begin with.
Lines = dict[str, list[str]]
_WORD = re.compile(r"(?<![\w-])([\w-]++): *(\S+)")
_PAIR = re.compile(r"\(([0-9]+), ([0-9]+)\)")


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
    path: Annotated[
        str | None,
        doc(
            "In fd.json: a path below the root of the process that leads to the inode now; null if "
            "none of the likely ones does. The kernel tells none"
        ),
    ] = None


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


def value(row: str) -> str:
    """What comes after the key of a line."""
    return row.partition(":")[2].strip()


def _epoll(found: Lines) -> list[Watch]:
    return [_watch(dict(_WORD.findall(row))) for row in found["tfd"]]


def _watch(words: dict[str, str]) -> Watch:
    return Watch(
        whole(words["tfd"]),
        flags(hexadecimal(words["events"]), files.EPOLL),
        f"0x{hexadecimal(words['data']):x}",
        whole(words["pos"]) if "pos" in words else None,
        hexadecimal(words["ino"]) if "ino" in words else None,
        files.device(hexadecimal(words["sdev"])) if "sdev" in words else None,
    )


def _eventfd(found: Lines) -> Eventfd:
    first = {key: value(rows[0]) for key, rows in found.items()}
    number, semaphore = first.get("eventfd-id"), first.get("eventfd-semaphore")
    return Eventfd(
        hexadecimal(first["eventfd-count"]),
        None if number is None else whole(number),
        None if semaphore is None else semaphore != "0",
    )


def _timerfd(found: Lines) -> Timerfd:
    first = {key: value(rows[0]) for key, rows in found.items()}
    return Timerfd(
        files.CLOCKS.get(whole(first["clockid"]), first["clockid"]),
        whole(first["ticks"]),
        flags(int(first["settime flags"], 8), files.TIMERFD),
        _seconds(first["it_value"]),
        _seconds(first["it_interval"]),
    )


def _seconds(pair: str) -> float:
    match = matched(_PAIR, pair, "(SECONDS, NANOSECONDS)")
    return whole(match[1]) + whole(match[2]) / 1e9


def _signalfd(found: Lines) -> list[str]:
    return list(signals.names(hexadecimal(value(found["sigmask"][0]))))


def _inotify(found: Lines) -> list[Mark]:
    return [_mark(row, files.INOTIFY) for row in found["inotify"]]


def fanotify(rows: list[str], architecture: str) -> Fanotify:
    """The group, whose line comes first, and its marks."""
    group, *marks = rows
    words = dict(_WORD.findall(group))
    return Fanotify(
        flags(hexadecimal(words["flags"]), files.FANOTIFY_GROUP),
        open_flags.names(hexadecimal(words["event-flags"]), architecture),
        [_mark(row, files.FANOTIFY) for row in marks],
    )


def _mark(row: str, names: dict[int, str]) -> Mark:
    words = dict(_WORD.findall(row))
    number = {
        key: hexadecimal(words[key])
        for key in ("wd", "ino", "sdev", "mnt_id", "mflags")
        if key in words
    }
    handle = words.get("f_handle")
    return Mark(
        flags(hexadecimal(words["mask"]), names),
        flags(hexadecimal(words["ignored_mask"]), names),
        number.get("wd"),
        number.get("ino"),
        files.device(number["sdev"]) if "sdev" in number else None,
        number.get("mnt_id"),
        whole(words["mnt_ns"]) if "mnt_ns" in words else None,
        flags(number["mflags"], files.FANOTIFY_MARK) if "mflags" in number else None,
        None if handle is None else f"{hexadecimal(words['fhandle-type'])}:{handle}",
    )


def _pidfd(found: Lines) -> Pidfd:
    numbers = value(found["NSpid"][0]).split() if "NSpid" in found else []
    return Pidfd(whole(value(found["Pid"][0])), list(map(whole, numbers)))


def bpf(found: Lines, entries: list[str]) -> Bpf:
    """A map, a program or a link, and the table below a link to several functions."""
    fields = {key: value(rows[0]) for key, rows in found.items()}
    kind = next(kind for kind in ("map", "link", "prog") if f"{kind}_type" in fields)
    named, number = fields.pop(f"{kind}_type"), fields.pop(f"{kind}_id", None)
    if named.isdecimal():
        named = (files.BPF_MAPS if kind == "map" else files.BPF_PROGRAMS).get(int(named), named)
    return Bpf(
        kind,
        named,
        None if number is None else whole(number),
        fields,
        [" ".join(entry.split()) for entry in entries],
    )


def io_uring(rows: list[str]) -> IoUring:
    """The heads and counts of the rings, and the lines below a key without a value."""
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


class Kind(NamedTuple):
    """A kind of file: the field of a descriptor that it fills, from which lines, and how.

    Of `keys` the first is in no file of another kind.
    """

    field: str
    keys: tuple[str, ...]
    make: Callable[[Lines], Any]


# Objects of BPF have lines of their own, all of which belong to the field `bpf`.
BPF = ("map_type", "link_type", "prog_type")
KINDS = (
    Kind("epoll", ("tfd",), _epoll),
    Kind("eventfd", ("eventfd-count", "eventfd-id", "eventfd-semaphore"), _eventfd),
    Kind("timerfd", ("clockid", "ticks", "settime flags", "it_value", "it_interval"), _timerfd),
    Kind("signalfd", ("sigmask",), _signalfd),
    Kind("inotify", ("inotify",), _inotify),
    Kind("pidfd", ("Pid", "NSpid"), _pidfd),
)
