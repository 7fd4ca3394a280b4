"""A lock that does not come free ties up a few workers and delays a few requests, no more."""

from __future__ import annotations

import errno

import pytest
import trio

from procmirror.identity.errors import Unanswered
from procmirror.procfs.processes import Process
from procmirror.workers.lock_queue import LockQueue, LockState, lock_in_words
from tests.workers.fakes import run

TIMEOUT = 5.0
LOCK = ("process", "exec")


async def entered_after(queue: LockQueue, lock: object = LOCK) -> float:
    """Enter and stay; how long that took."""
    began = trio.current_time()
    await queue.enter(lock)
    return trio.current_time() - began


async def refused_after(queue: LockQueue, code: int, lock: object = LOCK) -> float:
    began = trio.current_time()
    with pytest.raises(Unanswered) as refused:
        await queue.enter(lock)
    assert refused.value.errno == code
    return trio.current_time() - began


async def time_out(queue: LockQueue, lock: object = LOCK, *, remember: bool = True) -> None:
    """Have an operation on a lock time out."""
    with pytest.raises(Unanswered), queue.in_flight(await queue.enter(lock), remember=remember):
        raise Unanswered(errno.ETIMEDOUT, "no answer in time")


def test_four_operations_run_at_a_time_and_the_fifth_waits_for_the_first_to_end() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        states = [await queue.enter(LOCK) for _ in range(4)]
        assert states[0].in_flight == 4
        fifth: list[float] = []

        async def enter() -> None:
            fifth.append(await entered_after(queue))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
            await trio.sleep(0.01)
            assert not fifth
            with queue.in_flight(states[0], remember=True):
                pass
        assert fifth == [pytest.approx(0.01)]

    run(test)


def test_one_silent_operation_makes_the_next_wait() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK)
        assert await entered_after(queue) == 0
        await trio.sleep(0.06)
        assert await refused_after(queue, errno.ETIMEDOUT) == pytest.approx(TIMEOUT)
        state.progressed()
        assert await entered_after(queue) == 0

    run(test)


def test_another_lock_and_no_lock_are_free() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        for _ in range(4):
            await queue.enter(LOCK)
        assert await entered_after(queue, ("process", "memory")) == 0
        for _ in range(9):
            assert await entered_after(queue, None) == 0

    run(test)


def test_after_a_timeout_everybody_is_refused_for_a_second() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await time_out(queue)
        await trio.sleep(0.9)
        assert await refused_after(queue, errno.EBUSY) == 0
        await trio.sleep(0.2)
        assert await entered_after(queue) == 0

    run(test)


@pytest.mark.parametrize("lock", [LOCK, ("process", "memory")])
def test_for_a_minute_after_a_timeout_the_wait_is_short(lock: object) -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await time_out(queue, lock)
        await trio.sleep(2)
        assert (await queue.enter(LOCK)).timeout == 0.25
        assert (await queue.enter(("another", "exec"))).timeout == TIMEOUT
        await trio.sleep(58.5)
        queue.forget_old()
        assert (await queue.enter(("process", "view"))).timeout == TIMEOUT

    run(test)


def test_timeouts_in_other_namespaces_and_other_errors_are_not_remembered() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await time_out(queue, remember=False)
        with pytest.raises(Unanswered), queue.in_flight(await queue.enter(LOCK), remember=True):
            raise Unanswered(errno.EBUSY, "too many wait already")
        assert (await queue.enter(LOCK)).timeout == TIMEOUT

    run(test)


def test_a_killed_worker_that_is_not_reaped_holds_up_its_lock_only_until_then() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK)
        reaped = queue.hung(state)
        with queue.in_flight(state, remember=False):
            pass
        assert await refused_after(queue, errno.EBUSY) == 0
        reaped()
        assert await entered_after(queue) == 0

    run(test)


def test_behind_a_worker_that_is_not_reaped_nobody_waits_for_another_that_is_silent() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK)
        assert await queue.enter(LOCK) is state
        queue.hung(state)
        with queue.in_flight(state, remember=False):
            pass
        await trio.sleep(1)
        assert state.is_full()
        assert await refused_after(queue, errno.EBUSY) == 0

    run(test)


def test_those_that_queue_hear_at_once_of_a_worker_that_is_not_reaped() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK)
        await trio.sleep(1)
        waits: list[float] = []

        async def wait() -> None:
            waits.append(await refused_after(queue, errno.EBUSY))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(1)
            queue.hung(state)
            with queue.in_flight(state, remember=False):
                pass
        assert waits == [pytest.approx(1)]

    run(test)


def test_nothing_is_kept_of_a_lock_on_which_nothing_is() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        for number in range(100):
            with queue.in_flight(await queue.enter(("process", number)), remember=True):
                pass
        assert not queue._states
        await queue.enter(LOCK)
        await trio.sleep(1)
        with trio.move_on_after(1):
            await queue.enter(LOCK)
        assert queue._states[LOCK].queued == 0

    run(test)


def test_whoever_queues_and_whoever_comes_later_are_on_the_same_lock() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        first = await queue.enter(LOCK)
        await trio.sleep(1)
        queued: list[LockState] = []

        async def enter() -> None:
            queued.append(await queue.enter(LOCK))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
            await trio.sleep(1)
            with queue.in_flight(first, remember=False):
                pass
            assert await queue.enter(LOCK) is first
        assert queued == [first]
        assert first.in_flight == 2

    run(test)


def test_a_timeout_is_forgotten_when_it_shortens_nothing_any_more() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await time_out(queue)
        await trio.sleep(30)
        await time_out(queue, ("other", "exec"))
        queue.forget_old()
        assert len(queue._timed_out) == 2
        await trio.sleep(31)
        queue.forget_old()
        assert list(queue._timed_out) == [("other", "exec")]

    run(test)


def test_a_lock_that_was_free_for_long_is_not_suspicious() -> None:
    async def test() -> None:
        state = LockState(LOCK, TIMEOUT)
        await trio.sleep(10)
        state.begin()
        assert not state.is_full()

    run(test)


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        ((Process(b"1234", -1), "memory"), "1234/memory"),
        (("joined", 1000), "joined/1000"),
        ((b"a\n\x1b[31m", "PID/stack"), r"a\n\x1b[31m/PID/stack"),
        (((Process(b"7", -1), "exec"), ("net", "x")), "7/exec/net/x"),
    ],
)
def test_a_lock_is_told_in_words_that_cannot_move_a_terminal(lock: object, words: str) -> None:
    assert lock_in_words(lock) == words
