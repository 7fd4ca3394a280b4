"""A few requests that wait are no crowd, and many are, as are few that take long."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from procmirror.fuse import loop as module
from procmirror.fuse.loop import Loop
from procmirror.fuse.session_tasks import READER, Driver
from procmirror.fuse.turns import Parked, turns

USER = 1000


class Clock:
    """The time as the loop sees it, and how long its thread has run."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.run = 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        return self.run

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.run += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    yield made
    while turns.next():
        pass
    turns.crowded = False


def wait(count: int) -> None:
    session: Any = object()
    for _ in range(count):
        turns.add(Parked(USER), session)


def answer(loop: Loop, clock: Clock, count: int, seconds: float) -> None:
    for _ in range(count):
        loop.next_turn(more=False)
        clock.work(seconds)


def test_a_few_readers_do_without_turns_after_one_each(clock: Clock) -> None:
    loop = Loop(10)
    wait(8)
    answer(loop, clock, 1, 0.0001)
    assert loop.answers_few(), "and does not read what has come meanwhile"
    answer(loop, clock, 7, 0.0001)
    loop.end_turns()
    assert not turns.crowded


def test_a_busy_machine_makes_no_crowd(clock: Clock) -> None:
    """The readers themselves take the processors from us between the answers."""
    loop = Loop(10)
    wait(8)
    for _ in range(8):
        answer(loop, clock, 1, 0.0001)
        clock.now += 0.004
    loop.end_turns()
    assert not turns.crowded


def test_readers_who_always_ask_again_are_no_crowd(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When those that waited are answered the kernel has the next request of each."""
    loop = Loop(10)
    reader: Any = SimpleNamespace(waits=False)
    driver = driver_of(loop, monkeypatch, reader)
    loop.reader = reader
    waiting: Any = SimpleNamespace(waits=False)
    for _ in range(8):
        turns.add(Parked(USER), waiting)
    answer(loop, clock, 1, 0.0001)
    given = [step(driver._next_by_turns()) for _ in range(8)]
    assert given == [(waiting, None)] * 7 + [(reader, False)]
    assert not turns.crowded
    assert loop.scheduler is None


def test_a_crowd_that_was_small_is_looked_at_anew(clock: Clock) -> None:
    """What was left of the five milliseconds is not for the next requests that wait."""
    loop = Loop(10)
    wait(1)
    answer(loop, clock, 1, 0.0001)
    loop.end_turns()
    wait(1)
    assert not loop.answers_few()


@pytest.mark.usefixtures("clock")
def test_a_few_of_many_are_a_crowd() -> None:
    """Most may still be with the kernel, when those that have been read are only a few."""
    loop = Loop(10)
    wait(8)
    loop.next_turn(more=True)
    assert not loop.answers_few()


def test_of_many_requests_every_one_waits_for_its_turn(clock: Clock) -> None:
    loop = Loop(10)
    wait(200)
    for _ in range(150):
        answer(loop, clock, 1, 0.0001)
        assert not loop.answers_few()


def test_requests_that_take_long_are_a_crowd_even_if_they_are_few(clock: Clock) -> None:
    """Another user would wait for all of them."""
    loop = Loop(10)
    wait(8)
    answer(loop, clock, 2, 0.004)
    assert not loop.answers_few(), "the next request is read, and has its turn"
    answer(loop, clock, 6, 0.001)
    loop.end_turns()
    assert turns.crowded


def step(coroutine: Any) -> Any:
    """The result of a coroutine that does not suspend."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


def driver_of(loop: Loop, monkeypatch: pytest.MonkeyPatch, reader: Any) -> Driver:
    """The task that gives turns, where the kernel always has another request."""
    monkeypatch.setattr(loop, "look", lambda: (False, True))
    made = Driver(loop, lambda: reader, lambda: None)
    monkeypatch.setattr(loop, "scheduler", made)
    return made


@pytest.mark.usefixtures("clock")
def test_those_who_wait_do_not_wait_for_all_that_is_answered_without_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user can close or list something all the time."""
    reader: Any = SimpleNamespace(waits=False)
    driver = driver_of(Loop(10), monkeypatch, reader)
    wait(200)
    given = [step(driver._next(reader, READER))[0] is reader for _ in range(40)]
    assert 3 < given.count(False) < 10


@pytest.mark.usefixtures("clock")
def test_what_waits_for_its_turn_is_read_before_anybody_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader: Any = SimpleNamespace(waits=False)
    waiting: Any = SimpleNamespace(waits=False)
    driver = driver_of(Loop(10), monkeypatch, reader)
    given = [step(driver._next(waiting, Parked(USER)))[0] is reader for _ in range(40)]
    assert given == [True] * 40


def test_a_crowd_that_has_become_small_is_found_out(clock: Clock) -> None:
    loop = Loop(10)
    wait(8)
    answer(loop, clock, 8, 0.004)
    loop.end_turns()
    assert turns.crowded
    clock.now += 0.02
    wait(8)
    answer(loop, clock, 8, 0.0001)
    loop.end_turns()
    assert not turns.crowded


def test_it_is_looked_again_and_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics: Any = type("Statistics", (), {"seconds_to_next_deadline": 1.0})
    monkeypatch.setattr(trio.lowlevel, "current_statistics", lambda: statistics)
    loop = Loop(10)
    looks = 0
    for _ in range(100):
        turns.crowded = False
        loop.begin_pass()
        looks += turns.crowded
        clock.now += 0.005
    assert 15 < looks < 30
