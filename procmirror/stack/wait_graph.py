"""The graph of which thread waits for which, and the threads in it that can never continue.

Pure: nodes are threads; an edge leads from a waiting thread to each thread that could end its wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edges:
    """The threads that could end a wait, and whether these are all there are.

    `endless` is false where a timeout ends the wait, `known` where further threads that the
    requester cannot see may end it.
    """

    threads: frozenset[int]
    endless: bool
    known: bool


class Waiters:
    """Which of some threads of a graph wait for a thread.

    Thousands may wait for one set of threads: each set is looked at once, however many wait for it.
    """

    def __init__(self, graph: Mapping[int, Edges], tids: Iterable[int]) -> None:
        self._waiting: dict[frozenset[int], list[int]] = defaultdict(list)
        self._having: dict[int, list[frozenset[int]]] = defaultdict(list)
        for tid in tids:
            self._waiting[graph[tid].threads].append(tid)
        for threads in self._waiting:
            for thread in threads:
                self._having[thread].append(threads)

    @property
    def awaited(self) -> set[int]:
        """The threads that any of them waits for."""
        return set(self._having)

    def taken(self, thread: int) -> list[int]:
        """The threads that wait for a thread, except those that were taken before."""
        sets = self._having.pop(thread, ())
        return [tid for threads in sets for tid in self._waiting.pop(threads, ())]


def deadlocked(graph: Mapping[int, Edges]) -> set[int]:
    """The threads that wait, without an end, only for threads that do so too.

    This is the largest set of waiting threads in which only members can end each wait. A thread
    that runs, waits for something outside, or is unknown, removes each thread that it could free
    from the set.
    """
    stuck = {tid for tid, edges in graph.items() if edges.endless and edges.known and edges.threads}
    waiters = Waiters(graph, stuck)
    free = waiters.awaited - stuck
    while free:
        freed = waiters.taken(free.pop())
        stuck.difference_update(freed)
        free.update(freed)
    return stuck


def chains(graph: Mapping[int, Edges], first: Collection[int]) -> Iterator[tuple[int, int]]:
    """Each waiting thread with its depth, below a thread that waits for it.

    The threads in `first` (the deadlocked ones) begin their chains before all others. A thread is
    shown once; further chains that lead to it end there.
    """
    waited_for = {other for tid, edges in graph.items() for other in edges.threads if other != tid}
    starts = [
        *sorted(first),
        *sorted(tid for tid in graph if tid not in waited_for),
        *sorted(graph),
    ]
    seen: set[int] = set()
    for start in starts:
        waiting = [(start, 0)]
        while waiting:
            tid, depth = waiting.pop()
            if tid in seen or tid not in graph:
                continue
            seen.add(tid)
            yield tid, depth
            waiting += [(other, depth + 1) for other in sorted(graph[tid].threads, reverse=True)]
