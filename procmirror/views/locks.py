"""/proc/locks: the locks on files, and who waits for them.

Source: proc_locks(5), lock_get_status in fs/locks.c.

`NUMBER: KIND MODE TYPE PID MAJOR:MINOR:INODE START END`, the device hexadecimal; a request that
waits stands behind `->` under the number of the lock it waits for, further indented if it waits for
another request. Locks of open files (OFDLCK) have no process (-1), and those of NFS clients have
none here. The paths come from the lock lines in the holder's fdinfo, as far as the requester may
see those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines
from procmirror.decoding.table import matched
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Machine, Reading, Record, doc

LINE = re.compile(
    r"(\d+):(?P<blank> *)(?P<arrow>-> )? *(?P<kind>\S+) +(?P<mode>\S+) +(?P<type>\S+) "
    r"+(?P<pid>-?\d+)"
    r" (?:(?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+):(?P<inode>\d+)|<none>:0)(?: (?P<start>\d+) "
    r"(?P<end>\d+|EOF))? *"
)
# How many descriptors are looked at for the paths of all locks together.
DESCRIPTORS = 4096


class Waiter(Record, frozen=True):
    """One request that waits."""

    pid: Annotated[int | None, doc("Who waits; null for an open file")]
    comm: Annotated[str | None, doc("The command of who waits; null if the requester may not know")]
    type: Annotated[str, doc("READ or WRITE")]
    start: Annotated[int | None, doc("First byte")]
    end: Annotated[int | None, doc("Last byte; null: to the end of the file")]
    depth: Annotated[
        int,
        doc("1 if it waits for the lock, more if for the nearest request above that is less deep"),
    ]


class Lock(Record, frozen=True):
    """One lock that is held."""

    id: Annotated[int, doc("Its number in this file")]
    kind: Annotated[
        str, doc("POSIX (fcntl), OFDLCK (of an open file), FLOCK, LEASE, DELEG or ACCESS")
    ]
    mode: Annotated[str, doc("ADVISORY, MANDATORY; of a lease ACTIVE, BREAKING or BREAKER")]
    type: Annotated[str, doc("READ, WRITE or UNLCK")]
    pid: Annotated[int | None, doc("Who holds it; null for an open file")]
    comm: Annotated[
        str | None, doc("The command of who holds it; null if the requester may not know")
    ]
    path: Annotated[
        str | None, doc("The file; null if the requester may not know or the holder closed it")
    ]
    device: Annotated[str | None, doc("Device of the file system, major:minor")]
    inode: Annotated[int | None, doc("Inode of the file")]
    start: Annotated[int | None, doc("First byte")]
    end: Annotated[int | None, doc("Last byte; null: to the end of the file")]
    waiters: Annotated[list[Waiter], doc("Who waits for it, in the kernel's order")]


def join(reading: Reading, _: Machine) -> list[Lock]:
    """The locks with those who wait for them."""
    found = [_match(decoded(line)) for line in lines(reading.read("locks"))]
    pids = sorted({pid for pid in map(_pid, found) if pid})
    comms = {pid: _comm(reading, pid) for pid in pids}
    paths = dict(
        _paths(
            reading,
            sorted({pid for pid in map(_pid, (one for one in found if not one["arrow"])) if pid}),
        )
    )
    locks: list[Lock] = []
    for one in found:
        comm = comms.get(_pid(one) or 0)
        if not one["arrow"]:
            locks.append(_lock(one, comm, paths.get((_pid(one), _file(one)))))
        elif locks and locks[-1].id == int(one[1]):
            locks[-1].waiters.append(_waiter(one, comm))
        else:
            raise expected("the lock that this request waits for above it", one[0])
    return locks


def _match(line: str) -> re.Match[str]:
    return matched(LINE, line, "NUMBER: KIND MODE TYPE PID DEVICE:INODE START END")


def _pid(match: re.Match[str]) -> int | None:
    """The process, unless it is of an open file (-1) or another pid namespace (0)."""
    return int(match["pid"]) if int(match["pid"]) > 0 else None


def _file(match: re.Match[str]) -> tuple[str, int] | None:
    return (
        (f"{int(match['major'], 16)}:{int(match['minor'], 16)}", int(match["inode"]))
        if match["inode"]
        else None
    )


def _span(match: re.Match[str]) -> tuple[int | None, int | None]:
    start, end = match["start"], match["end"]
    return int(start) if start else None, int(end) if end and end != "EOF" else None


def _lock(match: re.Match[str], comm: str | None, path: str | None) -> Lock:
    device, inode = _file(match) or (None, None)
    start, end = _span(match)
    return Lock(
        int(match[1]),
        match["kind"],
        match["mode"],
        match["type"],
        _pid(match),
        comm,
        path,
        device,
        inode,
        start,
        end,
        [],
    )


def _waiter(match: re.Match[str], comm: str | None) -> Waiter:
    start, end = _span(match)
    return Waiter(_pid(match), comm, match["type"], start, end, len(match["blank"]))


def _comm(reading: Reading, pid: int) -> str | None:
    try:
        return decoded(reading.read(f"{pid}/comm").removesuffix(b"\n"))
    except OSError:
        return None


def _paths(
    reading: Reading, pids: list[int]
) -> Iterator[tuple[tuple[int | None, tuple[str, int] | None], str]]:
    """Holder and file of each lock that a descriptor of the holder has, with the path."""
    left = DESCRIPTORS
    for pid in pids:
        try:
            names = reading.names(f"{pid}/fdinfo")[:left]
        except OSError:
            continue
        left -= len(names)
        for name in names:
            try:
                held = re.findall(
                    rb"^lock:\t(.*)$", reading.read(f"{pid}/fdinfo/{name}"), re.MULTILINE
                )
                for line in held:
                    yield (pid, _file(_match(decoded(line)))), reading.link(f"{pid}/fd/{name}")
            except OSError:
                continue


def text(locks: list[Lock], _: Machine) -> str:
    """One lock a line, those that somebody waits for first.

    Who waits stands below, further to the right, with the process that it waits for.
    """
    rows: list[tuple[object, ...]] = []
    for lock in sorted(locks, key=lambda lock: not lock.waiters):
        file = lock.path or (f"{lock.device} inode {lock.inode}" if lock.device else "-")
        rows.append(
            (
                _who(lock, lock.kind),
                lock.pid or "-",
                "-",
                lock.kind,
                lock.type,
                _range(lock.start, lock.end),
                file,
            )
        )
        rows += _waiting(lock)
    return (
        columns(rows, ("COMMAND", "PID", "BLOCKER", "KIND", "TYPE", "BYTES", "FILE"), right=(1, 2))
        if rows
        else "no locks\n"
    )


def _waiting(lock: Lock) -> Iterator[tuple[object, ...]]:
    """A row for each that waits for a lock, or for another that does."""
    above = [lock.pid]
    for one in lock.waiters:
        del above[one.depth :]
        blocker = above[-1] or "-"
        above.append(one.pid)
        who = "  " * one.depth + _who(one, lock.kind)
        span = _range(one.start, one.end)
        yield who, one.pid or "-", blocker, lock.kind, one.type, span, ""


def _who(one: Lock | Waiter, kind: str) -> str:
    return one.comm or (
        "(not-permitted)" if one.pid else "(open-file)" if kind == "OFDLCK" else "(elsewhere)"
    )


def _range(start: int | None, end: int | None) -> str:
    return "all" if not start and end is None else f"{start}-{'' if end is None else end}"
