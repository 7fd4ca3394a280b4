"""/proc/locks: the locks on files, and who waits for them.

Source: proc_locks(5), lock_get_status in fs/locks.c.

`NUMBER: KIND MODE TYPE PID MAJOR:MINOR:INODE START END`, the device hexadecimal; a request that
waits stands behind `->` under the number of the lock it waits for, further indented if it waits for
another request. Locks of open files (OFDLCK) have no process (-1), and those of NFS clients have
none here. The process of a FLOCK is the one that took it: flock(1) in a shell script ends, and the
lock stays with those that have the file open. The paths and those holders come from the lock lines
in fdinfo, as far as the requester may see those.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, TypeAlias

from procmirror.decoding.reasons import SURPRISES, expected
from procmirror.decoding.shapes import lines
from procmirror.decoding.table import Rows, matched
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Reading, Record, doc

LINE = re.compile(
    r"(\d{1,19}):(?P<blank> *)(?P<arrow>-> )? *(?P<kind>\S+) +(?P<mode>\S+) +(?P<type>\S+) "
    r"+(?P<pid>-?\d{1,10})"
    r" (?:(?P<major>[0-9a-f]{1,8}):(?P<minor>[0-9a-f]{1,8}):(?P<inode>\d{1,20})|<none>:0)"
    r"(?: (?P<start>\d{1,19}) (?P<end>\d{1,19}|EOF))? *"
)
# How many descriptors are looked at for the paths and holders of all locks together: of processes
# that a lock names, and of others. Of one of these, how many.
DESCRIPTORS = 4096
_OF_OTHERS = 256
# Kind, process as the kernel prints it, file and bytes: what /proc/locks and fdinfo say alike.
_Key: TypeAlias = tuple[str, str, tuple[str, int] | None, tuple[int | None, int | None]]


class Waiter(Record, frozen=True):
    """One request that waits."""

    pid: Annotated[int | None, doc("Who waits; null for an open file, negative on another machine")]
    comm: Annotated[str | None, doc("The command of who waits; null if the requester may not know")]
    type: Annotated[str, doc("READ or WRITE")]
    start: Annotated[int | None, doc("First byte")]
    end: Annotated[int | None, doc("Last byte; null: to the end of the file")]
    depth: Annotated[
        int,
        doc("1 if it waits for the lock, more if for the nearest request above that is less deep"),
    ]


class Holder(Record, frozen=True):
    """A process that has the open file of a lock, though the lock names another or none."""

    pid: Annotated[int, doc("The process")]
    comm: Annotated[str | None, doc("Its command; null if it ended meanwhile")]


class Lock(Record, frozen=True):
    """One lock that is held."""

    id: Annotated[int, doc("Its number in this file")]
    kind: Annotated[
        str, doc("POSIX (fcntl), OFDLCK (of an open file), FLOCK, LEASE, DELEG or ACCESS")
    ]
    mode: Annotated[str, doc("ADVISORY, MANDATORY; of a lease ACTIVE, BREAKING or BREAKER")]
    type: Annotated[str, doc("READ, WRITE or UNLCK")]
    pid: Annotated[
        int | None, doc("Who took it; null for an open file, negative on another machine")
    ]
    comm: Annotated[
        str | None,
        doc("The command of who took it; null if it ended or the requester may not know"),
    ]
    holders: Annotated[
        list[Holder],
        doc(
            "Who has it by an open file, where who took it is not there or nobody is named; "
            "as far as the requester may see"
        ),
    ]
    path: Annotated[
        str | None,
        doc(
            "The file; null if the requester may not know, the holder closed it, or it is not "
            "among the 4096 descriptors that are looked at, of processes with few of them first"
        ),
    ]
    device: Annotated[str | None, doc("Device of the file system, major:minor")]
    inode: Annotated[int | None, doc("Inode of the file")]
    start: Annotated[int | None, doc("First byte")]
    end: Annotated[int | None, doc("Last byte; null: to the end of the file")]
    waiters: Annotated[list[Waiter], doc("Who waits for it, in the kernel's order")]


def join(reading: Reading, _: Machine) -> list[Lock]:
    """The locks with those who wait for them."""
    every = _matches(reading.read("locks"))
    found = [one for _, one in every]
    pids = sorted({pid for pid in map(_pid, found) if pid})
    comms = {pid: _comm(reading, pid) for pid in pids}
    held = _Held(reading)
    held.look({pid for one in found if not one["arrow"] and (pid := _pid(one)) and comms[pid]})
    if any(not one["arrow"] and _is_unnamed(one, comms) for one in found):
        held.look_at_others()
    locks = Rows[Lock]()
    locks.undecoded = every.undecoded
    for at, one in every:
        comm = comms.get(_pid(one) or 0)
        if not one["arrow"]:
            locks.append(_lock(one, comm, held))
        elif locks and locks[-1].id == int(one[1]):
            locks[-1].waiters.append(_waiter(one, comm))
        else:
            what = expected("the lock that this request waits for above it", one[0])
            locks.keep(at, one[0].encode(), what)
    return locks.settled()


def _matches(raw: bytes) -> Rows[tuple[int, re.Match[str]]]:
    """The lines with their numbers."""
    found = Rows[tuple[int, re.Match[str]]]()
    for at, line in enumerate(lines(raw), 1):
        try:
            found.append((at, _match(decoded(line))))
        except ValueError as surprise:
            found.keep(at, line, surprise)
    return found.settled()


def _is_unnamed(match: re.Match[str], comms: dict[int, str | None]) -> bool:
    """Whether a lock belongs to an open file that other processes may have than it names."""
    if match["kind"] not in {"FLOCK", "OFDLCK"}:
        return False
    pid = _pid(match)
    return match["pid"] == "-1" if pid is None else comms[pid] is None


def _match(line: str) -> re.Match[str]:
    return matched(LINE, line, "NUMBER: KIND MODE TYPE PID DEVICE:INODE START END")


def _pid(match: re.Match[str]) -> int | None:
    """The process, unless it is of an open file (-1) or another pid namespace (0)."""
    return int(match["pid"]) if int(match["pid"]) > 0 else None


def _owner(match: re.Match[str]) -> int | None:
    """The process as the kernel prints it; None for -1 and 0."""
    return int(match["pid"]) if int(match["pid"]) not in {-1, 0} else None


def _file(match: re.Match[str]) -> tuple[str, int] | None:
    return (
        (f"{int(match['major'], 16)}:{int(match['minor'], 16)}", int(match["inode"]))
        if match["inode"]
        else None
    )


def _span(match: re.Match[str]) -> tuple[int | None, int | None]:
    start, end = match["start"], match["end"]
    return int(start) if start else None, int(end) if end and end != "EOF" else None


def _lock(match: re.Match[str], comm: str | None, held: _Held) -> Lock:
    device, inode = _file(match) or (None, None)
    start, end = _span(match)
    return Lock(
        id=int(match[1]),
        kind=match["kind"],
        mode=match["mode"],
        type=match["type"],
        pid=_owner(match),
        comm=comm,
        holders=[] if comm else held.holders(match),
        path=held.paths.get(_key(match)),
        device=device,
        inode=inode,
        start=start,
        end=end,
        waiters=[],
    )


def _waiter(match: re.Match[str], comm: str | None) -> Waiter:
    start, end = _span(match)
    return Waiter(_owner(match), comm, match["type"], start, end, len(match["blank"]))


def _comm(reading: Reading, pid: int) -> str | None:
    try:
        return decoded(reading.read(f"{pid}/comm").removesuffix(b"\n"))
    except OSError:
        return None


def _key(match: re.Match[str]) -> _Key:
    return match["kind"], match["pid"], _file(match), _span(match)


class _Held:
    """What the descriptors of processes tell of the locks that are held through them."""

    def __init__(self, reading: Reading) -> None:
        self.paths: dict[_Key, str] = {}
        self._reading = reading
        self._holders: dict[_Key, list[int]] = {}
        self._seen: set[int] = set()
        self._left = DESCRIPTORS

    def look(self, pids: set[int], most: int = DESCRIPTORS) -> None:
        """Look at the descriptors of some processes, `most` of each.

        Who has few comes first: one with thousands leaves nothing for those behind it.
        """
        self._seen |= pids
        names = {pid: self._names(pid)[:most] for pid in sorted(pids)}
        for pid, few in sorted(names.items(), key=lambda one: len(one[1])):
            for name in few[: self._left]:
                # A descriptor may be closed meanwhile, and drivers may print what they like.
                with suppress(OSError, *SURPRISES):
                    self._look_at(pid, name)
            self._left -= len(few[: self._left])

    def look_at_others(self) -> None:
        """Look at the descriptors of all processes that were not looked at.

        A file that was copied from another machine has no processes.
        """
        try:
            names = self._reading.names(".")
        except FileNotFoundError:
            return
        pids = {int(name) for name in names if name.isdecimal()} - self._seen
        self._left = DESCRIPTORS
        self.look(pids, _OF_OTHERS)

    def holders(self, match: re.Match[str]) -> list[Holder]:
        """Who has a lock by an open file."""
        pids = sorted(self._holders.get(_key(match), []))
        return [Holder(pid, _comm(self._reading, pid)) for pid in pids]

    def _names(self, pid: int) -> list[str]:
        try:
            return self._reading.names(f"{pid}/fdinfo")
        except OSError:
            return []

    def _look_at(self, pid: int, name: str) -> None:
        path = self._reading.link(f"{pid}/fd/{name}")
        # The kernel may take seconds for the files that are registered with a ring of io_uring.
        if path.startswith("anon_inode:"):
            return
        info = self._reading.read(f"{pid}/fdinfo/{name}")
        for line in re.findall(rb"^lock:\t(.*)$", info, re.MULTILINE):
            key = _key(_match(decoded(line)))
            self.paths[key] = path
            holders = self._holders.setdefault(key, [])
            if pid not in holders:
                holders.append(pid)
