"""/proc/PID/fdinfo/N: what the kernel says about one open file (proc_pid_fdinfo(5)).

`N.json` and `N.txt` are there for each descriptor but are not listed: programs take each name in
this directory for a number. `fd.json` has all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import UNSET, UnsetType, field

from procmirror.decoding.text import columns, interval
from procmirror.decoding.view import Incomplete, Machine, Record, doc
from procmirror.views.pid import fdinfo
from procmirror.views.pid import fdinfo_fields as of
from procmirror.views.pid import fdinfo_objects as objects


class FdInfo(Record, frozen=True, kw_only=True):
    """One open file; what its kind of file tells has a field by its kind, null for all others."""

    pos: Annotated[int | None, doc("Where the next read or write happens", "bytes")]
    flags: Annotated[list[str], doc("Open flags; the first is the access mode")]
    mnt_id: Annotated[int | None, doc("Number of its mount")]
    ino: Annotated[int | None, doc("Its inode")]
    locks: Annotated[list[fdinfo.Lock], doc("Locks held through it")]
    epoll: of.Epoll = None
    eventfd: of.Eventfd = None
    timerfd: of.Timerfd = None
    signalfd: of.Signalfd = None
    inotify: of.Inotify = None
    fanotify: of.Fanotify = None
    pidfd: of.Pidfd = None
    userfaultfd: of.Userfaultfd = None
    tty_index: of.TtyIndex = None
    scm_fds: of.ScmFds = None
    dmabuf: of.Dmabuf = None
    iff: of.Iff = None
    bpf: of.Bpf = None
    io_uring: of.IoUring = None
    incomplete: Annotated[
        list[Incomplete],
        doc("Paths of watched inodes, which fd.json looks for and this file does not; else empty"),
    ] = field(default_factory=list)
    extra: Annotated[
        dict[str, list[str]] | UnsetType, doc("Lines that this version does not know, by key")
    ] = UNSET


def decode(raw: bytes, machine: Machine) -> FdInfo:
    """The common lines, the locks and what the kind of file tells."""
    info = fdinfo.decode(raw, machine.architecture)
    return FdInfo(
        pos=info.pos,
        flags=info.flags,
        mnt_id=info.mnt_id,
        ino=info.ino,
        locks=info.locks,
        incomplete=list(_without_paths(info)),
        **info.more,
    )


def _without_paths(info: fdinfo.Info) -> Iterator[Incomplete]:
    """The paths of what is watched: other files of the process lead to them."""
    group = info.more.get("fanotify")
    marks = {"inotify": info.more.get("inotify"), "fanotify": group.marks if group else None}
    for kind, watched in marks.items():
        if watched and any(one.inode is not None for one in watched):
            yield Incomplete(f"{kind}.path", "fd.json looks for it, this file does not")


# The fields of which each element is a line of the text: of a BPF object and an io_uring more is
# told.
_FIELDS = FdInfo.__struct_fields__
_KINDS = _FIELDS[_FIELDS.index("locks") + 1 : _FIELDS.index("bpf")]


def text(found: FdInfo, _: Machine) -> str:
    """One line a field; a list has a line for each of its elements."""
    rows: list[tuple[object, ...]] = [
        ("pos", found.pos),
        ("flags", " ".join(found.flags)),
        ("mnt_id", found.mnt_id),
        ("ino", found.ino),
    ]
    rows += [("lock", _lock(lock)) for lock in found.locks]
    for kind in _KINDS:
        value = getattr(found, kind)
        several = value if isinstance(value, list) else [] if value is None else [value]
        rows += [(kind, _words(one)) for one in several]
    if found.bpf:
        rows += [("bpf", f"{found.bpf.kind} {found.bpf.type} {found.bpf.id or ''}".rstrip())]
        rows += [*_facts(found.bpf.fields), *(("entry", entry) for entry in found.bpf.entries)]
    if found.io_uring:
        rows += _facts(found.io_uring.fields)
        rows += [(key, row) for key, lines in found.io_uring.entries.items() for row in lines]
    rows += [(key, value) for key, values in (found.extra or {}).items() for value in values]
    rows += [("incomplete", f"{one.part}: {one.reason}") for one in found.incomplete]
    return columns(row for row in rows if row[1] is not None)


def _facts(fields: dict[str, objects.Fact]) -> list[tuple[object, ...]]:
    return [(key, "-" if value is None else _value(value)) for key, value in fields.items()]


def _lock(lock: fdinfo.Lock) -> str:
    """The fields of a lock; its end is told also where it is that of the file."""
    open_end = " end=EOF" if lock.start is not None and lock.end is None else ""
    return f"{_words(lock)}{open_end}"


def _words(one: object) -> str:
    """The fields of a record as `name=value`; a word as it is."""
    if not isinstance(one, Record):
        return str(one)
    found = ((name, getattr(one, name)) for name in one.__struct_fields__)
    return " ".join(f"{name}={_value(value)}" for name, value in found if value not in (None, []))


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(
            _words(one) if not isinstance(one, Record) else f"({_words(one)})" for one in value
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    return interval(value) if isinstance(value, float) else str(value)
