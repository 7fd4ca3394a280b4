"""What is read of each process for `waits`, and who answers for what a thread waits for.

Source: status, task/TID/syscall and wchan, fd/ and fdinfo/ of each process; locks; self/net/tcp and
tcp6; sock_diag(7).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.view import Machine, Reading
from procmirror.stack.named_file import Mounts, NamedFile, Openers, named_file
from procmirror.stack.waiting import (
    ITS_CHILD,
    Child,
    Ended,
    Held,
    Key,
    Locked,
    Thread,
    Wait,
    wait,
)
from procmirror.stack.waiting_process import Process
from procmirror.views import locks
from procmirror.views.net import tcp
from procmirror.views.pid import files, status, status_fast

# Of a thread, a descriptor or a process that ended meanwhile: it holds nothing any more, and what
# is known of all others stays so.
_GONE = (FileNotFoundError, ProcessLookupError)


# What a process has open, and its access.
End: TypeAlias = tuple[str | NamedFile, str]


@dataclass(slots=True)
class Facts:
    """What is read of one process."""

    process: Process
    ppid: int
    comm: str
    waits: list[Wait] = field(default_factory=list)
    ends: dict[End, bool] = field(default_factory=dict)
    readable: bool = True

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def threads(self) -> frozenset[int]:
        """The ids of its threads."""
        return self.process.threads


def facts_of(number: str, reading: Reading, machine: Machine) -> Facts | None:
    """What is known of one process; None if it ends, or the requester may know nothing of it."""
    parts = Parts(reading, machine, f"{number}/")
    told = parts.file("status", status_fast.decode)
    threads = [int(name) for name in parts.names("task") or () if name.isdecimal()]
    if told is None or not threads:
        return None
    facts = Facts(_process(told, threads, reading), told.PPid, told.Name)
    if told.VmRSS is None and len(threads) == 1:
        # A kernel thread or a zombie holds nothing.
        return facts
    for tid in threads:
        try:
            if found := wait(facts.process, tid, reading, machine):
                facts.waits.append(found)
        except _GONE:
            continue
        except (OSError, *SURPRISES):
            facts.readable = False
    try:
        facts.ends = _ends_of(facts.process, reading)
    except _GONE:
        return None
    except (OSError, *SURPRISES):
        facts.readable = False
    return facts


def _process(told: status.Status, threads: Sequence[int], reading: Reading) -> Process:
    """The process of a status, with those of its threads that live.

    The first may end before the others: then it has no memory, and soon is a zombie.
    """
    led = told.VmRSS is not None
    ended = {told.Pid} if not led and (told.State or "").startswith("Z") else set()
    lives = frozenset(threads) - ended or threads
    # Before Linux 4.1 the kernel does not tell the numbers in inner namespaces.
    return Process(told.NSpid or (told.Pid,), lives, reading, led=led)


def _ends_of(process: Process, reading: Reading) -> dict[End, bool]:
    """What a process has open: without its first thread by another one, as they share it."""
    if process.led:
        return _ends(process.place(process.pid), reading)
    for tid in sorted(process.threads - {process.pid}):
        place = process.place(tid)
        with suppress(*_GONE):
            found = _ends(place, reading)
            # If the thread has ended meanwhile, this may be a part.
            if reading.names(f"{place}fd"):
                return found
    return {}


def _ends(place: str, reading: Reading) -> dict[End, bool]:
    """Each pipe, socket or named file open in a directory, with its access, and its locks."""
    return dict.fromkeys(_each_end(place, reading), True)


def _each_end(place: str, reading: Reading) -> Iterator[End]:
    for fd in reading.names(f"{place}fd"):
        try:
            target = reading.link(f"{place}fd/{fd}")
            if target.startswith("socket:["):
                yield target, "peer"
            elif target.startswith(("pipe:[", "/")):
                info = reading.read(f"{place}fdinfo/{fd}")
                file = target if target.startswith("pipe:[") else named_file(target, info)
                ways = _WAYS.get(files.access(info) or "", ()) if file else ()
                yield from ((file, way) for way in ways if file)
                yield from ((_lock_key(*one), "lock") for one in _LOCK.findall(info))
        except _GONE:
            continue


def _lock_key(kind: bytes, pid: bytes, major: bytes, minor: bytes, inode: bytes) -> str:
    """A lock by its kind, the process that made it, and its file, as `locks` prints these."""
    return f"{kind.decode()} {int(pid)} {int(major, 16)}:{int(minor, 16)} {int(inode)}"


# A line of fdinfo: a lock that is held through the descriptor, whichever process made it.
_LOCK = re.compile(
    rb"^lock:\s+\d+: (\w+) +\w+ +\w+ (-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ", re.MULTILINE
)
# What stands for the process in a lock of an open file.
_OPEN_FILE = -1
_WAYS = {"read": ("read",), "write": ("write",), "read-write": ("read", "write")}


class Holders:
    """Who holds what threads wait for, by its key, when all processes are known."""

    def __init__(self, reading: Reading, machine: Machine, found: Mapping[int, Facts]) -> None:
        self._found = found
        self._processes = {tid: pid for pid, facts in found.items() for tid in facts.threads}
        self.blind = any(not facts.readable for facts in found.values())
        self._ends: dict[End, set[int]] = defaultdict(set)
        self._children: dict[int, set[int]] = defaultdict(set)
        self._by_number = dict(_numbered(found))
        for facts in found.values():
            self._children[facts.ppid].add(facts.pid)
            for end in facts.ends:
                self._ends[end].add(facts.pid)
        self._mounts = Mounts(reading.read)
        self._openers = self._files_waited_for(self._mounts)
        self._same: dict[frozenset[int], frozenset[int]] = {}
        self._peers = dict(_peers(reading, machine))
        self._locks, self._open_locks = _lock_holders(reading, machine)

    def _files_waited_for(self, mounts: Mounts) -> dict[tuple[int | str, str], Openers]:
        """By the number of a file and the access that helps: who has files of that number open."""
        keys = [one.key for facts in self._found.values() for one in facts.waits]
        files = [(key.file, key.access) for key in keys if isinstance(key, Held) and key.file]
        openers = {(file.inode, access): Openers(mounts) for file, access in files}
        for (file, access), pids in self._ends.items():
            if isinstance(file, NamedFile) and (file.inode, access) in openers:
                openers[file.inode, access].add(file.mount, pids)
        return openers

    def named(self, waiting: Wait) -> Wait:
        """The wait, for a child by its process id if it was by another number and is known."""
        if isinstance(key := waiting.key, Child) and (pid := self._by_number.get(key)):
            return replace(waiting, what=ITS_CHILD.format(pid), key=Ended(key.parent, pid))
        return waiting

    def concerns(self, key: Key) -> bool:
        """Whether a wait is for somebody on this machine: the peer of a socket may be elsewhere."""
        return not (isinstance(key, Held) and key.access == "peer") or key.target in self._peers

    def holders_of(self, waiting: Wait) -> tuple[frozenset[int], int | None, bool]:
        """Processes that could end a wait, the thread if it is one, and whether all are known.

        Equal sets are one: thousands may wait for the same thousands.
        """
        pids, only, known = self._new_holders_of(waiting)
        return self._same.setdefault(pids, pids), only, known

    def _new_holders_of(self, waiting: Wait) -> tuple[frozenset[int], int | None, bool]:
        key = waiting.key
        match key:
            case Thread(tid):
                owner = self._processes.get(tid)
                return frozenset(() if owner is None else (owner,)), tid, owner is not None
            case Child():
                return frozenset(), None, False
            case Ended(_, int(pid)):
                return frozenset({pid} & self._found.keys()), None, pid in self._found
            case Ended(parent, _):
                return frozenset(self._children[parent]), None, True
            case Locked():
                makers, certain = self._makers(key)
                told = [self._lockers(*one) for one in makers]
                known = certain and bool(told) and all(known for _, known in told)
                return frozenset().union(*(pids for pids, _ in told)), None, known
            case Held():
                held, certain = self._openers_of(key)
                # With nobody at the other end the kernel ends the wait (EOF, EPIPE).
                return frozenset(held), None, bool(held) and certain and not self.blind

    def _openers_of(self, key: Held) -> tuple[set[int], bool]:
        """Who has an object open in the way that helps, and whether there can be no others."""
        if key.file is not None:
            openers = self._openers[key.file.inode, key.access]
            return openers.of(key.file.mount, key.pid)
        target = self._peers.get(key.target) if key.access == "peer" else key.target
        return self._ends.get((target, key.access), set()) if target else set(), True

    def _makers(self, key: Locked) -> tuple[Sequence[Made], bool]:
        """The locks that are in the way of a request, and whether these are.

        Of an open file that waits, only its file is told. For which of several locks of the file
        it waits is not, and files of two subvolumes may have one device and one number.
        """
        if key.file is None:
            return self._locks.get(key.pid, ()), True
        where = self._mounts.file_system(key.file.mount, f"{key.pid}/")
        if where is None or isinstance(key.file.inode, str):
            return (), False
        found = self._open_locks.get((where.device.decode(), key.file.inode), ())
        return found, len(found) == 1 and not where.subvolume

    def _lockers(self, pid: int, key: str) -> tuple[set[int], bool]:
        """Who holds a lock, and whether these are all.

        A lock of an open file outlives the process that made it, in those that inherited the file.
        """
        held = self._ends.get((key, "lock"), set()) | ({pid} & self._found.keys())
        return held, pid in self._found or (bool(held) and not self.blind)


def _numbered(found: Mapping[int, Facts]) -> Iterator[tuple[Child, int]]:
    """The children of processes in inner pid namespaces, by the numbers that these have of them."""
    for facts in found.values():
        parent, numbers = found.get(facts.ppid), facts.process.numbers
        if parent and 0 < parent.process.depth < len(numbers):
            yield Child(parent.pid, numbers[parent.process.depth]), facts.pid


def _peers(reading: Reading, machine: Machine) -> Iterator[tuple[str, str]]:
    """By link text: the two ends of each TCP or UNIX connection of this machine with itself."""
    ends: dict[tuple[object, object], int] = {}
    for name in ("tcp", "tcp6"):
        try:
            rows = tcp.decode(reading.read(f"self/net/{name}"), machine)
        except (OSError, *SURPRISES):
            continue
        for row in rows:
            own: object = (_host(row.local_address), row.local_port)
            ends[own, (_host(row.rem_address), row.rem_port)] = row.inode
    pairs = [(inode, ends.get((other, own))) for (own, other), inode in ends.items()]
    with suppress(OSError, *SURPRISES):
        pairs += reading.unix_peers().items()
    yield from ((f"socket:[{own}]", f"socket:[{other}]") for own, other in pairs if other)


def _host(address: str) -> str:
    """An address; of an IPv4 one in the table of IPv6 the IPv4 address."""
    return address.removeprefix("::ffff:")


# Who made a lock, -1 for an open file, and the key of the lock.
Made: TypeAlias = tuple[int, str]
# By the device and the number of a file.
OfFiles: TypeAlias = Mapping[tuple[str, int], Sequence[Made]]


def _lock_holders(
    reading: Reading, machine: Machine
) -> tuple[Mapping[int, Sequence[Made]], OfFiles]:
    """The locks in the way, by the process that waits, and by the file if an open file does.

    An open file that waits is not told; that one of the file does is.
    """
    by_pid: dict[int, list[Made]] = defaultdict(list)
    by_file: dict[tuple[str, int], list[Made]] = defaultdict(list)
    with suppress(OSError, *SURPRISES):
        for lock in locks.join(reading, machine):
            maker = lock.pid or _OPEN_FILE
            made = maker, f"{lock.kind} {maker} {lock.device} {lock.inode}"
            for waiter in lock.waiters:
                if waiter.pid:
                    by_pid[waiter.pid].append(made)
            if lock.device and lock.inode and any(one.pid is None for one in lock.waiters):
                by_file[lock.device, lock.inode].append(made)
    return by_pid, by_file
