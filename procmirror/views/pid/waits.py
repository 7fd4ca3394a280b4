"""PID/waits: the chain of waiting in which one process stands, in both directions.

Source: those of `waits`, for all processes; wchan of those at the end of the chain.

What the process waits for comes first, with the cycle if it is part of one. The root causes are the
processes at the end: others wait for them, and they for no process that is known. Those that wait
for the process come last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated

from procmirror.decoding.proc_files import status_value
from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.text import decoded, printable
from procmirror.decoding.view import Each, Machine, Reading, Record, doc
from procmirror.stack.wait_graph import Waiters, chains
from procmirror.views.pid import wchan
from procmirror.views.waits import Waiting, Waits, each, line
from procmirror.views.waits_facts import Facts

# States in which nothing is waited for (task_state_array, fs/proc/array.c).
_WAITING_FOR_NOTHING = {"R": "it runs", "Z": "it has ended", "X": "it has ended"}


class Root(Record, frozen=True):
    """A process that others of the chain wait for, and that waits for none itself."""

    pid: Annotated[int, doc("Process id")]
    comm: Annotated[str, doc("Name of the process")]
    state: Annotated[str | None, doc("Letter of its state, as in stat.json")]
    waits_for: Annotated[
        str | None,
        doc(
            "What its first thread waits for, as in wchan.json; null if it does not. What it "
            "watches is in its stack.json"
        ),
    ]


class Chain(Record, frozen=True, kw_only=True):
    """What a process waits for, and what waits for it."""

    pid: Annotated[int, doc("Process id")]
    comm: Annotated[str | None, doc("Name of the process")]
    deadlock: Annotated[bool, doc("Whether one of its threads goes on at a signal only, if at all")]
    waits: Annotated[
        list[Waiting],
        doc("Its threads that wait, and below each who it waits for; deadlocked ones first"),
    ]
    roots: Annotated[
        list[Root],
        doc("Who the chain ends at; the process itself if it waits for none; empty in a deadlock"),
    ]
    waited_by: Annotated[
        list[Waiting], doc("Who waits for it; depth 1: for it, 2: for one of those, and so on")
    ]
    complete: Annotated[
        bool, doc("False where processes that the requester may not look at may belong to it")
    ]


def join(reading: Reading, machine: Machine) -> Each:
    """The chain of the process or thread that `self` stands for."""
    told = reading.read("self/status")
    pid, tid = (int(status_value(told, key)) for key in (b"Tgid", b"Pid"))
    one = None if "task" in reading.names("self") else tid
    return each(reading, machine, partial(_chain, pid, one))


def _chain(
    pid: int,
    one: int | None,
    reading: Reading,
    machine: Machine,
    numbers: Sequence[str],
    found: Iterator[Facts],
) -> Chain:
    waits = Waits(reading, machine, numbers, found)
    facts = waits.processes.get(pid)
    threads = {one} if one else set(facts.threads if facts else ())
    reached = _reached(threads, waits)
    below = {tid: edges for tid, edges in waits.graph.items() if tid in reached}
    mine = sorted(threads & below.keys(), key=lambda tid: (tid not in waits.stuck, tid))
    shown = [waits.record(*at) for at in chains(below, mine)]
    by = [waits.record(*at) for at in _waiting_for(threads, waits)]
    stuck = not threads.isdisjoint(waits.stuck)
    ends = [] if stuck else _ends({pid}, waits)
    return Chain(
        pid=pid,
        comm=facts.comm if facts else None,
        deadlock=stuck,
        waits=shown,
        roots=[_root(end, waits.processes, reading, machine) for end in ends],
        waited_by=by,
        complete=not waits.blind and all(one.complete for one in shown + by),
    )


def _reached(first: Collection[int], waits: Waits) -> set[int]:
    """The threads that can be reached over waits, the first among them."""
    reached, coming = set(first), list(first)
    # Those who wait for the same have one set of threads.
    seen: set[int] = set()
    while coming:
        edges = waits.graph.get(coming.pop())
        if edges is None or id(edges.threads) in seen:
            continue
        seen.add(id(edges.threads))
        new = edges.threads - reached
        reached |= new
        coming += new
    return reached


def _waiting_for(first: Collection[int], waits: Waits) -> Iterator[tuple[int, int]]:
    """The threads that wait for some, with their distance; the nearest first."""
    waiters = Waiters(waits.graph, waits.graph)
    level, depth = set(first), 0
    while level:
        depth += 1
        level = {tid for thread in level for tid in waiters.taken(thread)} - set(first)
        yield from ((tid, depth) for tid in sorted(level))


def _ends(first: set[int], waits: Waits) -> list[int]:
    """The processes that can be reached over waits, and in which no thread waits for others."""
    seen, coming, ends = set(first), list(first), []
    while coming:
        facts = waits.processes.get(pid := coming.pop())
        held = {other for tid in facts.threads for other in waits.holders(tid)} if facts else set()
        if facts and not held - {pid}:
            ends.append(pid)
        coming += held - seen
        seen |= held
    return sorted(ends)


def _root(pid: int, processes: Mapping[int, Facts], reading: Reading, machine: Machine) -> Root:
    state = waiting = None
    try:
        state = decoded(status_value(reading.read(f"{pid}/status"), b"State"))[:1]
        told = wchan.decode(reading.read(f"{pid}/wchan"), machine)
        waiting = told.waits_for or told.symbol
    except (OSError, *SURPRISES):
        pass
    return Root(pid, processes[pid].comm, state, waiting)


def text(chain: Chain, _: Machine) -> str:
    """What it waits for, the root causes, and who waits for it."""
    own = printable(f"{chain.comm or '?'}({chain.pid})")
    lines = [line(one) for one in chain.waits]
    lines += [
        f"root cause: {_root_in_words(root)}" for root in chain.roots if root.pid != chain.pid
    ]
    if not chain.waits:
        lines.append(_alone(own, chain))
    if chain.waited_by:
        lines += ["", f"waiting for {own}:", *map(line, chain.waited_by)]
    if not chain.complete:
        lines += ["", "(processes that you may not look at may belong to this chain)"]
    return "".join(f"{one}\n" for one in lines)


def _alone(own: str, chain: Chain) -> str:
    """What is known of a process that is not seen to wait for another."""
    root = chain.roots[0] if chain.roots else None
    if root and root.waits_for:
        return f"{own} waits for no other process: for {root.waits_for}"
    if root and root.state in _WAITING_FOR_NOTHING:
        return f"{own} waits for nothing: {_WAITING_FOR_NOTHING[root.state]}"
    return f"what {own} waits for is not known"


def _root_in_words(root: Root) -> str:
    what = f" waits for {root.waits_for}" if root.waits_for else ""
    return printable(f"{root.comm}({root.pid})  {root.state or '?'}{what}")
