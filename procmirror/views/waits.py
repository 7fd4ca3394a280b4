"""waits: who waits for whom, over pipes, FIFOs, TCP connections, locks, mutexes and children.

Source: status, task/TID/syscall and wchan, fd/ and fdinfo/ of each process; locks; self/net/tcp
and tcp6.

The system call of a process takes the right to trace it: what another user's processes wait for is
not told, and who of them holds the other end of a pipe neither. A record says where this leaves a
gap. Both ends of a UNIX socket cannot be brought together, because /proc does not name the peer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, TypeAlias

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.view import Each, Machine, Reading, Record, doc
from procmirror.stack.wait_graph import Edges, chains, deadlocked
from procmirror.stack.waiting import Ended, Held, Key, Locked, Thread, Wait, wait
from procmirror.views import files, locks
from procmirror.views.net import tcp
from procmirror.views.pid import status_fast

_BLOCKED = ("S", "D")
# A chain is drawn no further to the right than this.
DEEPEST = 20


class Holder(Record, frozen=True):
    """A process or thread that could end a wait."""

    pid: Annotated[int, doc("Process id")]
    tid: Annotated[int | None, doc("Thread id where it is one thread; null: any of the process")]
    comm: Annotated[str, doc("Name of the process")]


class Waiting(Record, frozen=True, kw_only=True):
    """A thread that waits for others."""

    pid: Annotated[int, doc("Process id")]
    tid: Annotated[int, doc("Thread id")]
    comm: Annotated[str, doc("Name of the process")]
    waits_for: Annotated[str, doc("What it waits for")]
    holders: Annotated[list[Holder], doc("Who could end the wait, as far as the requester sees")]
    complete: Annotated[
        bool, doc("False where holders may exist that the requester is not allowed to see")
    ]
    deadlock: Annotated[
        bool, doc("True if it waits, without a timeout, only for threads that do so too")
    ]
    depth: Annotated[int, doc("How deep it stands in its chain; 0 for the first that waits")]


@dataclass(slots=True)
class Facts:
    """What is read of one process."""

    pid: int
    ppid: int
    comm: str
    threads: tuple[int, ...]
    waits: list[Wait] = field(default_factory=list)
    ends: dict[tuple[str, str], bool] = field(default_factory=dict)
    readable: bool = True


def join(reading: Reading, machine: Machine) -> Each:
    """The waiting threads, chain by chain, deadlocks first."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    return Each(
        numbers,
        lambda number: _facts(number, reading, machine),
        ("status",),
        arrange=partial(_arranged, reading, machine, numbers),
    )


def _facts(number: str, reading: Reading, machine: Machine) -> Facts | None:
    parts = Parts(reading, machine, f"{number}/")
    told = parts.file("status", status_fast.decode)
    threads = [name for name in parts.names("task") or () if name.isdecimal()]
    if told is None or not threads:
        return None
    facts = Facts(told.Pid, told.PPid, told.Name, tuple(map(int, threads)))
    if told.VmRSS is None:
        # A kernel thread or a zombie holds nothing.
        return facts
    try:
        for tid in threads:
            if found := wait(told.Pid, tid, threads, reading, machine):
                facts.waits.append(found)
    except (OSError, *SURPRISES):
        facts.readable = False
    try:
        facts.ends = dict.fromkeys(_ends(number, reading), True)
    except (OSError, *SURPRISES):
        facts.readable = False
    return facts


def _ends(number: str, reading: Reading) -> Iterator[tuple[str, str]]:
    """Each pipe, FIFO or socket that a process has open, with its access."""
    for fd in reading.names(f"{number}/fd"):
        try:
            target = reading.link(f"{number}/fd/{fd}")
            if target.startswith("socket:["):
                yield target, "peer"
            elif target.startswith(("pipe:[", "/")):
                access = files.access(reading.read(f"{number}/fdinfo/{fd}"))
                yield from ((target, way) for way in _WAYS.get(access or "", ()))
        except FileNotFoundError:
            continue


_WAYS = {"read": ("read",), "write": ("write",), "read-write": ("read", "write")}


# The processes that could end a wait, the thread if it is one, and whether all are known.
_Ends: TypeAlias = tuple[frozenset[int], int | None, bool]


class _Holders:
    """Who answers to a key, when all processes are known."""

    def __init__(self, reading: Reading, machine: Machine, found: Mapping[int, Facts]) -> None:
        self._found = found
        self.blind = any(not facts.readable for facts in found.values())
        self._ends: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._children: dict[int, set[int]] = defaultdict(set)
        for facts in found.values():
            self._children[facts.ppid].add(facts.pid)
            for end in facts.ends:
                self._ends[end].add(facts.pid)
        self._peers = dict(_peers(reading, machine))
        self._locks = dict(_lock_holders(reading, machine))

    def concerns(self, key: Key) -> bool:
        """Whether a wait is for somebody on this machine: the peer of a socket may be elsewhere."""
        return not (isinstance(key, Held) and key.access == "peer") or key.target in self._peers

    def of(self, waiting: Wait) -> _Ends:
        """Who could end a wait."""
        key = waiting.key
        match key:
            case Thread(tid):
                owners = {pid for pid, facts in self._found.items() if tid in facts.threads}
                return frozenset(owners), tid, bool(owners)
            case Ended(_, int(pid)):
                return frozenset({pid} & self._found.keys()), None, pid in self._found
            case Ended(parent, _):
                return frozenset(self._children[parent]), None, True
            case Locked(pid):
                holders = self._locks.get(pid, set())
                seen = frozenset(holders & self._found.keys())
                return seen, None, bool(holders) and len(seen) == len(holders)
            case Held(target, "peer"):
                peer = self._peers.get(target)
                held = self._ends.get((peer, "peer"), set()) if peer else set()
                return frozenset(held), None, bool(held) and not self.blind
            case Held(target, access):
                held = self._ends.get((target, access), set())
                return frozenset(held), None, not self.blind


def _peers(reading: Reading, machine: Machine) -> Iterator[tuple[str, str]]:
    """By link text: the two ends of each TCP connection of this machine with itself."""
    ends: dict[tuple[object, object], int] = {}
    for name in ("tcp", "tcp6"):
        try:
            rows = tcp.decode(reading.read(f"self/net/{name}"), machine)
        except (OSError, *SURPRISES):
            continue
        for row in rows:
            own: object = (row.local_address, row.local_port)
            ends[own, (row.rem_address, row.rem_port)] = row.inode
    for (own, other), inode in ends.items():
        if ends.get((other, own)):
            yield f"socket:[{inode}]", f"socket:[{ends[other, own]}]"


def _lock_holders(reading: Reading, machine: Machine) -> Iterator[tuple[int, set[int]]]:
    holders: dict[int, set[int]] = defaultdict(set)
    try:
        for lock in locks.join(reading, machine):
            for waiter in lock.waiters:
                if waiter.pid and lock.pid:
                    holders[waiter.pid].add(lock.pid)
    except (OSError, *SURPRISES):
        return
    yield from holders.items()


def _arranged(
    reading: Reading, machine: Machine, numbers: Sequence[str], found: Iterator[Facts]
) -> Iterator[Waiting]:
    processes = {facts.pid: facts for facts in found}
    holders = _Holders(reading, machine, processes)
    # A process that the walk gave up is still there, and may hold anything.
    missing = set(numbers) - {str(pid) for pid in processes}
    holders.blind |= not missing.isdisjoint(reading.names("."))
    waits = {
        one.tid: (facts, one)
        for facts in processes.values()
        for one in facts.waits
        if holders.concerns(one.key)
    }
    held = {tid: holders.of(one) for tid, (_, one) in waits.items()}
    stuck = deadlocked(graph := _graph(processes, waits, held))
    for tid, depth in chains(graph, stuck):
        facts, one = waits[tid]
        pids, only, known = held[tid]
        yield Waiting(
            pid=facts.pid,
            tid=tid,
            comm=facts.comm,
            waits_for=one.what,
            holders=[Holder(pid, only, processes[pid].comm) for pid in sorted(pids)],
            complete=known,
            deadlock=tid in stuck,
            depth=depth,
        )


def _graph(
    processes: dict[int, Facts],
    waits: dict[int, tuple[Facts, Wait]],
    held: dict[int, _Ends],
) -> dict[int, Edges]:
    """For each thread that waits: the threads that may end that, one or all of the holders."""
    graph = {}
    for tid, (pids, only, known) in held.items():
        threads = {only} if only is not None else _threads(processes[pid] for pid in pids)
        graph[tid] = Edges(frozenset(threads), waits[tid][1].endless, known)
    return graph


def _threads(processes: Iterable[Facts]) -> set[int]:
    return {thread for facts in processes for thread in facts.threads}


def text(found: Iterable[Waiting], _: Machine) -> str:
    """A chain of waits a paragraph: who waits below stands further to the right."""
    lines = []
    for one in found:
        indent = "  " * min(one.depth, DEEPEST)
        mark = "deadlock: " if one.deadlock and not one.depth else ""
        thread = "" if one.tid == one.pid else f" thread {one.tid}"
        by = ", ".join(f"{holder.comm}({holder.pid})" for holder in one.holders)
        gap = "" if one.complete else " (others may hold it too)" if by else " (holder not visible)"
        held = f", from {by}" if by else ""
        lines.append(
            f"{indent}{mark}{one.comm}({one.pid}){thread} waits for {one.waits_for}{held}{gap}"
        )
    return "".join(f"{line}\n" for line in lines)
