"""/proc/PID/fdinfo/N: what the kernel says about one open file.

Source: proc_pid_fdinfo(5), fs/proc/fd.c and every show_fdinfo.

First come pos, flags (octal), mnt_id (since Linux 3.15) and ino (5.14), then the locks, then what
only the kind of file knows (fdinfo_kinds.py): many lines of one kind for epoll, inotify and
fanotify.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from procmirror.decoding.bounds import may_exceed
from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.shapes import bits, hexadecimal, lines, number
from procmirror.decoding.table import Row, matched, sorted_out
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Record, doc
from procmirror.kernel import open_flags
from procmirror.views import locks
from procmirror.views.pid import fdinfo_kinds as kinds
from procmirror.views.pid import fdinfo_objects as objects

_COMMON = ("pos", "flags", "mnt_id", "ino")
# What nearly all files have: the common lines alone.
_PLAIN = re.compile(
    rb"pos:\t([0-9]++)\nflags:\t([0-7]++)\nmnt_id:\t([0-9]++)\n(?:ino:\t([0-9]++)\n)?+"
)
# The lines by which an io_uring is known: the first of old kernels and of new ones.
_RINGS = ("SqMask:", "SqThread:", "UserFiles:")
# The header of the table of a BPF link to several functions.
_TABLES = ("cookie\t", "cookie ", "offset\t", "offset ", "ref_ctr_offset")


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
    if not may_exceed(raw) and (match := _PLAIN.fullmatch(raw)):
        return _plain(match, architecture)
    rows = [decoded(line).partition(":") for line in lines(raw)]
    # The first line is common to all, whatever stands there.
    at = next((at for at, row in enumerate(rows) if at and row[0] not in _COMMON), len(rows))
    common = Row([row[0] for row in rows[:at]], [row[2].strip().encode() for row in rows[:at]])
    rest = at
    while rest < len(rows) and rows[rest][0] == "lock":
        rest += 1
    pos = common.tried("pos", number)
    flags = common.tried("flags", lambda word: bits(int(word, 8)))
    named = [] if flags is None else open_flags.names(flags, architecture)
    mount, inode = common.tried("mnt_id", number), common.tried("ino", number)
    found, odd = sorted_out([value.strip() for _, _, value in rows[at:rest]], _lock)
    if not found:
        common.settle()
    more = _more(["".join(row) for row in rows[rest:]], architecture)
    return Info(pos, named, mount, inode, found, _with_odd(more, common, odd))


def _plain(match: re.Match[bytes], architecture: str) -> Info:
    pos, flags, mount, inode = match.groups()
    named = open_flags.names(int(flags, 8), architecture)
    return Info(int(pos), named, int(mount), int(inode) if inode else None, [], {})


def _with_odd(more: dict[str, Any], common: Row, odd: list[str]) -> dict[str, Any]:
    """With the common lines and the locks of another form in `extra`."""
    left = {key: [value] for key, value in (common.extra() or {}).items()}
    if odd:
        left["lock"] = odd
    for key, values in more.get("extra", {}).items():
        left[key] = left.get(key, []) + values
    return more | {"extra": left} if left else more


def _more(rows: list[str], architecture: str) -> dict[str, Any]:
    """The field that the kind of file fills, and what is left as `extra`.

    All of it is left where a line of that kind has another form, but for a line of a list, which is
    left alone.
    """
    try:
        return _of_kind(rows, architecture)
    except SURPRISES:
        found: kinds.Lines = {}
        for row in rows:
            found.setdefault(_key(row), []).append(_value(row))
        return {"extra": found}


def _of_kind(rows: list[str], architecture: str) -> dict[str, Any]:
    if buffer := kinds.dmabuf(rows):
        made, rows = buffer
        return {"dmabuf": made, **_extra(_by_key(rows))}
    if any(row.startswith(_RINGS) for row in rows):
        return {"io_uring": objects.io_uring(rows)}
    table = next((at for at, row in enumerate(rows) if row.startswith(_TABLES)), len(rows))
    found = _by_key(rows[:table])
    if "fanotify" in found:
        group, found["fanotify"] = kinds.fanotify(found["fanotify"], architecture)
        return {"fanotify": group, **_extra(found)}
    for kind in kinds.KINDS:
        if kind.keys[0] in found:
            return _fields_of_kind(kind, found)
    if any(key in found for key in objects.KEYS_OF_BPF):
        return {"bpf": objects.bpf(found, rows[table:])}
    return _extra(found)


def _fields_of_kind(kind: kinds.Kind, found: kinds.Lines) -> dict[str, Any]:
    rest = {key: lines for key, lines in found.items() if key not in kind.keys}
    if kind.row:
        key = kind.keys[0]
        made, rest[key] = sorted_out(found[key], kind.row)
        # A list without its lines is no list of nothing.
        return {kind.field: made or None, **_extra(rest)}
    return {kind.field: kind.make(found) if kind.make else None, **_extra(rest)}


def _by_key(rows: list[str]) -> kinds.Lines:
    found: kinds.Lines = {}
    for row in rows:
        found.setdefault(_key(row), []).append(row)
    return found


def _key(row: str) -> str:
    words = row.startswith(("inotify ", "fanotify "))
    return (row.split(" ", 1)[0] if words else row.partition(":")[0]).strip()


def _value(row: str) -> str:
    """What comes after the key of a line."""
    return row.removeprefix(_key(row)).lstrip(":\t ").rstrip()


def _extra(found: kinds.Lines) -> dict[str, Any]:
    """The field `extra` with the lines of some keys; nothing without any."""
    extra = {key: [_value(row) for row in rows] for key, rows in found.items() if rows}
    return {"extra": extra} if extra else {}


def _lock(value: str) -> Lock:
    match = matched(locks.LINE, value, "a lock")
    pid, inode, start, end = (match[name] for name in ("pid", "inode", "start", "end"))
    return Lock(
        match["kind"],
        match["mode"],
        match["type"],
        None if number(pid) < 0 else number(pid),
        None if inode is None else f"{hexadecimal(match['major'])}:{hexadecimal(match['minor'])}",
        None if inode is None else number(inode),
        None if start is None else number(start),
        None if end in {None, "EOF"} else number(end),
    )
