"""waits: who waits for whom, over pipes, FIFOs, UNIX and TCP sockets, locks, mutexes and children.

Source: status, task/TID/syscall and wchan, fd/ and fdinfo/ of each process; locks; self/net/tcp
and tcp6; sock_diag(7) for the peers of UNIX stream sockets in the requester's network namespace.

The system call of a process takes the right to trace it: what another user's processes wait for is
not told, and who of them holds the other end of a pipe neither. A record says where this leaves
a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from heapq import nsmallest
from typing import Annotated, Any, TypeAlias

from procmirror.decoding.text import one_of_many, printable
from procmirror.decoding.view import Each, Machine, Reading, Record, doc
from procmirror.stack.wait_graph import Edges, chains, deadlocked
from procmirror.views.waits_at_once import at_once
from procmirror.views.waits_facts import Facts, Holders, facts_of

# A chain is drawn no further to the right than this.
DEEPEST = 20


# Of the holders of one wait so many are listed: thousands may hold what thousands wait for.
_MOST_HOLDERS = 64


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
    holders: Annotated[
        list[Holder],
        doc("Who could end the wait, as far as the requester sees; 64 of them at most"),
    ]
    more_holders: Annotated[int, doc("How many more there are")]
    complete: Annotated[
        bool, doc("False where holders may exist that the requester is not allowed to see")
    ]
    deadlock: Annotated[
        bool,
        doc(
            "True if it waits, without a timeout, only for threads that do so too, all at one "
            "moment; a signal may still end it"
        ),
    ]
    depth: Annotated[int, doc("How deep it stands in its chain; 0 for the first that waits")]


Arrange: TypeAlias = Callable[[Reading, Machine, Sequence[str], Iterator[Facts]], Any]


def join(reading: Reading, machine: Machine) -> Each:
    """The waiting threads, chain by chain, deadlocks first."""
    return each(reading, machine, _arranged)


def each(reading: Reading, machine: Machine, arrange: Arrange) -> Each:
    """The facts of all processes, of which `arrange` makes the content."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    return Each(
        numbers,
        lambda number: facts_of(number, reading, machine),
        ("status",),
        arrange=partial(arrange, reading, machine, numbers),
    )


class Waits:
    """Every wait that the requester may know, and what it leads to."""

    def __init__(
        self, reading: Reading, machine: Machine, numbers: Sequence[str], found: Iterator[Facts]
    ) -> None:
        self.processes = {facts.pid: facts for facts in found}
        holders = Holders(reading, machine, self.processes)
        # A process that the walk gave up is still there, and may hold anything.
        missing = set(numbers) - {str(pid) for pid in self.processes}
        holders.blind |= not missing.isdisjoint(reading.names("."))
        self.blind = holders.blind
        self._waits = {
            one.tid: (facts, one)
            for facts in self.processes.values()
            for one in facts.waits
            if holders.concerns(one.key)
        }
        # Of those who wait for the same each has the same sets, not a copy.
        self._answering: dict[frozenset[int], frozenset[int]] = {}
        self._named = {tid: holders.named(one) for tid, (_, one) in self._waits.items()}
        self._holders = {tid: holders.holders_of(one) for tid, one in self._named.items()}
        self.graph = {tid: self._edges(tid) for tid in self._holders}
        self.stuck = deadlocked(self.graph)
        if self.stuck:
            same = at_once(self.stuck, self._waits, numbers, reading, machine)
            self.stuck = deadlocked({tid: self.graph[tid] for tid in same})

    def _edges(self, tid: int) -> Edges:
        pids, only, known = self._holders[tid]
        if only is not None:
            answering = frozenset({only})
        else:
            if pids not in self._answering:
                threads = (thread for pid in pids for thread in self.processes[pid].threads)
                self._answering[pids] = frozenset(threads)
            answering = self._answering[pids]
        return Edges(answering, self._waits[tid][1].endless, known)

    def holders(self, tid: int) -> frozenset[int]:
        """The processes that could end the wait of a thread; none for a thread that runs."""
        return self._holders[tid][0] if tid in self._holders else frozenset()

    def record(self, tid: int, depth: int) -> Waiting:
        """The record of a thread that waits."""
        facts = self._waits[tid][0]
        pids, only, known = self._holders[tid]
        listed = nsmallest(_MOST_HOLDERS, pids)
        return Waiting(
            pid=facts.pid,
            tid=tid,
            comm=facts.comm,
            waits_for=self._named[tid].what,
            holders=[Holder(pid, only, self.processes[pid].comm) for pid in listed],
            more_holders=len(pids) - len(listed),
            complete=known,
            deadlock=tid in self.stuck,
            depth=depth,
        )


def _arranged(
    reading: Reading, machine: Machine, numbers: Sequence[str], found: Iterator[Facts]
) -> Iterator[Waiting]:
    waits = Waits(reading, machine, numbers, found)
    yield from (waits.record(*shown) for shown in chains(waits.graph, waits.stuck))


_NONE = "no process that you may look at waits for another\n"


def text(found: Iterable[Waiting], _: Machine) -> str:
    """A chain of waits a paragraph: who waits below stands further to the right."""
    return "".join(f"{line(one)}\n" for one in found) or _NONE


def line(one: Waiting) -> str:
    """A wait as a sentence, indented by its depth.

    It is one line: names of processes and of files may have newlines.
    """
    indent = "  " * min(one.depth, DEEPEST)
    mark = "deadlock: " if one.deadlock and not one.depth else ""
    thread = "" if one.tid == one.pid else f" thread {one.tid}"
    by = ", ".join(f"{one_of_many(holder.comm)}({holder.pid})" for holder in one.holders)
    by += f" and {one.more_holders} more" if one.more_holders else ""
    gap = "" if one.complete else " (others may hold it too)" if by else " (holder not visible)"
    held = f", from {by}" if by else ""
    words = f"{mark}{one.comm}({one.pid}){thread} waits for {one_of_many(one.waits_for)}{held}{gap}"
    return indent + printable(words)
