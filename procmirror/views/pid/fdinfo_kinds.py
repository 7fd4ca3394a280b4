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
from procmirror.decoding.table import matched, sorted_out
from procmirror.decoding.view import Record, doc
from procmirror.kernel import files, open_flags, signals

# Lines of a file, by the key that they begin with.
Lines = dict[str, list[str]]
_WORD = re.compile(r"(?<![\w-])([\w-]++): *(\S+)")
_API = re.compile(r"([0-9a-f]+):([0-9a-f]+):([0-9a-f]+)")
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
    ticks: Annotated[int, doc("Not 0 if it has expired and was not read since")]
    flags: Annotated[list[str], doc("Flags of the last timerfd_settime(2)")]
    value: Annotated[
        float,
        doc(
            "Time to the next expiry; 0 if it is off, or expired and not read (`ticks`)", "seconds"
        ),
    ]
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

    pid: Annotated[
        int,
        doc(
            "The process, or the thread if the descriptor has O_EXCL, which is PIDFD_THREAD; 0 if "
            "it is not visible, -1 if it is gone"
        ),
    ]
    ns_pids: Annotated[list[int], doc("Its numbers in the pid namespaces below")]


class Userfaultfd(Record, frozen=True):
    """A userfaultfd(2)."""

    pending: Annotated[int, doc("Page faults that wait and were not read")]
    total: Annotated[int, doc("All page faults that wait")]
    api: Annotated[str, doc("The version of the protocol")]
    features: Annotated[list[str], doc("What UFFDIO_API was asked for, UFFD_FEATURE_*")]
    ioctls: Annotated[list[str], doc("The commands that this kernel has, UFFDIO_*")]


class Dmabuf(Record, frozen=True):
    """A buffer that devices share."""

    size: Annotated[int, doc("Its size", "bytes")]
    count: Annotated[int, doc("References to it, descriptors and mappings among them")]
    exp_name: Annotated[str, doc("The driver that exports it")]
    name: Annotated[str | None, doc("The name that a program gave it")]


def value(row: str) -> str:
    """What comes after the key of a line."""
    return row.partition(":")[2].strip()


def _watch(row: str) -> Watch:
    words = dict(_WORD.findall(row))
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


def fanotify(rows: list[str], architecture: str) -> tuple[Fanotify, list[str]]:
    """The group, whose line comes first, with its marks; the marks of another form.

    ValueError where no mark has the known form.
    """
    words = dict(_WORD.findall(rows[0]))
    marks, odd = sorted_out(rows[1:], lambda row: _mark(row, files.FANOTIFY))
    if odd and not marks:
        raise ValueError(f"expected a mark, found {odd[0]!r}")
    group = Fanotify(
        flags(hexadecimal(words["flags"]), files.FANOTIFY_GROUP),
        open_flags.names(hexadecimal(words["event-flags"]), architecture),
        marks,
    )
    return group, odd


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


def _userfaultfd(found: Lines) -> Userfaultfd:
    pending, total, api = (value(found[key][0]) for key in ("pending", "total", "API"))
    version, features, ioctls = map(hexadecimal, matched(_API, api, "API:FEATURES:IOCTLS").groups())
    return Userfaultfd(
        whole(pending),
        whole(total),
        f"0x{version:x}",
        flags(features, files.USERFAULTFD),
        flags(ioctls, files.USERFAULTFD_COMMANDS),
    )


def dmabuf(rows: list[str]) -> tuple[Dmabuf, list[str]] | None:
    """A buffer by its first lines, and the lines that follow; None for another file.

    Its name is a program's, and a newline in it forges lines.
    """
    if [row.partition(":")[0] for row in rows[:3]] != ["size", "count", "exp_name"]:
        return None
    size, count, exporter, name = map(value, [*rows[:3], *rows[3:4], ""][:4])
    return Dmabuf(whole(size), whole(count), exporter, name or None), rows[4:]


class Kind(NamedTuple):
    """A kind of file: the field of a descriptor that it fills, from which lines, and how.

    Of `keys` the first is in no file of another kind. What has a `row` is a list of what that makes
    of each of its lines.
    """

    field: str
    keys: tuple[str, ...]
    make: Callable[[Lines], Any] | None = None
    row: Callable[[str], Any] | None = None


KINDS = (
    Kind("epoll", ("tfd",), row=_watch),
    Kind("eventfd", ("eventfd-count", "eventfd-id", "eventfd-semaphore"), _eventfd),
    Kind("timerfd", ("clockid", "ticks", "settime flags", "it_value", "it_interval"), _timerfd),
    Kind("signalfd", ("sigmask",), _signalfd),
    Kind("inotify", ("inotify",), row=lambda row: _mark(row, files.INOTIFY)),
    Kind("pidfd", ("Pid", "NSpid"), _pidfd),
    Kind("userfaultfd", ("API", "pending", "total"), _userfaultfd),
    # drivers/tty/pty.c, net/unix/af_unix.c, drivers/net/tun.c
    Kind("tty_index", ("tty-index",), lambda found: whole(value(found["tty-index"][0]))),
    Kind("scm_fds", ("scm_fds",), lambda found: whole(value(found["scm_fds"][0]))),
    Kind("iff", ("iff",), lambda found: value(found["iff"][0]) or None),
)
