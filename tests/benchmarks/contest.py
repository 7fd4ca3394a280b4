"""Measuring.

One CPU for everybody, and the rounds of all competitors interleaved, so that noise hits all alike.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Action = Callable[[], object]


def pin() -> None:
    """Put this process and all that it will start on one CPU, where a wake-up of another does not drown what is measured.

    They come before whatever else runs there.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.setpriority(os.PRIO_PROCESS, 0, -15)


@dataclass(frozen=True)
class Pace:
    """How many rounds, and how many seconds each competitor has in each.

    Short ones, so that some are not disturbed.
    """

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Sample:
    """Seconds a call, one figure a round."""

    rounds: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.rounds)

    @property
    def median(self) -> float:
        return median(self.rounds)

    def per(self, count: int) -> Sample:
        """The same for each of `count` things that a call does."""
        return Sample(tuple(one / count for one in self.rounds))

    def against(self, other: Sample) -> tuple[float, float]:
        """Ratios: the median of those of each round, and that of the best rounds."""
        each = [mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True)]
        return median(each), self.best / other.best


def clocked(action: Action, calls: int = 1) -> float:
    """Seconds a call."""
    start = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - start) / calls


def repeated(action: Action, seconds: float) -> float:
    """Seconds a call, of the best of as many as there is time for."""
    first = clocked(action)
    return min([first, *(clocked(action) for _ in range(min(20, 1 + int(seconds / first))))])


# Of what takes longer there are fewer rounds, but never fewer than so many. Of what takes very long
# for all competitors together there is one round, of the first calls.
_LONGEST_SECONDS, _FEWEST_ROUNDS, _ONCE_SECONDS = 20.0, 3, 10.0


def contest(pace: Pace, *competitors: Action, before: Action = lambda: None) -> list[Sample]:
    """The times of each competitor; all that is short has been called before the first round.

    `before` is called before each competitor's turn in a round, and not timed.
    """
    seconds = [_expected(action) for action in competitors]
    if sum(seconds) > _ONCE_SECONDS:
        return [Sample((one,)) for one in seconds]
    calls = [max(1, int(pace.seconds / one)) for one in seconds]
    round_seconds = sum(count * one for count, one in zip(calls, seconds, strict=True))
    most = max(_FEWEST_ROUNDS, min(pace.rounds, int(_LONGEST_SECONDS / round_seconds)))
    rounds: list[list[float]] = [[] for _ in competitors]
    gc.collect()
    gc.disable()
    try:
        for _ in range(most):
            for times, action, count in zip(rounds, competitors, calls, strict=True):
                before()
                times.append(clocked(action, count))
    finally:
        gc.enable()
    return [Sample(tuple(times)) for times in rounds]


def _expected(action: Action) -> float:
    """Seconds a call, of the better of two, or of the first if that is long."""
    first = max(clocked(action), 1e-6)
    return first if first > 1 else max(min(first, clocked(action)), 1e-6)
