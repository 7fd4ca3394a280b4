"""A lock that does not come free ties up a few workers and delays a few requests, no more."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
import trio

from procmirror.identity.errors import Unanswered
from procmirror.procfs.processes import Process
from procmirror.workers.lock_queue import LockQueue, Slow, lock_in_words
from procmirror.workers.lock_state import Lock, LockState
from tests.workers.fakes import run

TIMEOUT = 5.0
LOCK = ("process", "exec")
# Accounts.
ONE, ANOTHER, THIRD = 1000, 1001, 0


async def entered_after(queue: LockQueue, lock: object = LOCK, account: int = ONE) -> float:
    """Enter and stay; how long that took."""
    began = trio.current_time()
    await queue.enter(lock, account)
    return trio.current_time() - began


async def refused_after(queue: LockQueue, code: int, account: int = ONE) -> float:
    began = trio.current_time()
    with pytest.raises(Unanswered) as refused:
        await queue.enter(LOCK, account)
    assert refused.value.errno == code
    return trio.current_time() - began


async def time_out(queue: LockQueue, lock: object = LOCK, *, remember: bool = True) -> None:
    """Have an operation on a lock time out."""
    with (
        pytest.raises(Unanswered),
        queue.in_flight(await queue.enter(lock, ONE), remember=remember),
    ):
        raise Unanswered(errno.ETIMEDOUT, "no answer in time")


async def order_of(queue: LockQueue, accounts: Sequence[int]) -> list[int]:
    """Have an operation of each account queue; the order in which they begin, one for one."""
    began: list[int] = []

    async def operate(account: int) -> None:
        with queue.in_flight(await queue.enter(LOCK, account), remember=False):
            began.append(account)
            await trio.sleep(0.04)

    async with trio.open_nursery() as nursery:
        for account in accounts:
            nursery.start_soon(operate, account)
            await trio.sleep(0.001)
    return began


def test_three_operations_of_an_account_run_and_the_fourth_waits_for_the_first_to_end() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        states = [await queue.enter(LOCK, ONE) for _ in range(3)]
        assert states[0].in_flight == 3
        fourth: list[float] = []

        async def enter() -> None:
            fourth.append(await entered_after(queue))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
            await trio.sleep(0.01)
            assert not fourth
            with queue.in_flight(states[0], remember=True):
                pass
        assert fourth == [pytest.approx(0.01)]

    run(test)


def test_one_place_is_kept_for_other_accounts_and_a_fifth_operation_waits() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        for _ in range(3):
            await queue.enter(LOCK, ONE)
        assert await entered_after(queue, account=ANOTHER) == 0
        assert await refused_after(queue, errno.ETIMEDOUT, THIRD) == pytest.approx(TIMEOUT)

    run(test)


def test_another_account_does_not_wait_for_an_operation_that_is_silent() -> None:
    """It finds out itself whether the lock is held for ever."""

    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await queue.enter(LOCK, ONE)
        await trio.sleep(1)
        assert await entered_after(queue, account=ANOTHER) == 0
        await trio.sleep(1)
        assert await refused_after(queue, errno.ETIMEDOUT, ANOTHER) == pytest.approx(TIMEOUT)

    run(test)


def test_what_one_account_makes_shorter_is_not_shorter_for_another() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        with pytest.raises(Slow), queue.in_flight(await queue.enter(LOCK, ONE), remember=True):
            raise Slow
        await trio.sleep(2)
        another = await queue.enter(LOCK, ANOTHER)
        assert (await queue.enter(LOCK, ONE)).timeout == 0.25
        assert another.timeout == TIMEOUT

    run(test)


def test_silence_of_one_account_does_not_count_against_another() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await queue.enter(LOCK, ONE)
        await trio.sleep(1)
        assert [await entered_after(queue, account=ANOTHER) for _ in range(2)] == [0, 0]

    run(test)


def test_a_hundred_operations_leave_nothing_behind() -> None:
    """Whatever ends them: success, cancellation, a worker that hangs, or none in time."""

    async def test() -> None:
        queue, chance = LockQueue(1), random.Random(7)

        async def operate() -> None:
            account = chance.choice((ONE, ANOTHER, THIRD))
            with trio.move_on_after(chance.random() * 3), suppress(Unanswered):
                state = await queue.enter(LOCK, account)
                with queue.in_flight(state, remember=False):
                    known = state.of_all
                    assert known.in_flight <= 4 and state.in_flight <= 3
                    await trio.sleep(chance.random())
                    if chance.random() < 0.1:
                        nursery.start_soon(let_go, queue.hung(state))

        async def let_go(reaped: Callable[[], None]) -> None:
            await trio.sleep(chance.random())
            reaped()

        async with trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(operate)
                await trio.sleep(chance.random() / 30)
        assert not queue._locks

    run(test)


def test_accounts_take_turns_however_many_operations_of_one_queue() -> None:
    async def test() -> None:
        queue = LockQueue(1000)
        began = await order_of(queue, [ONE] * 30 + [ANOTHER] * 3 + [THIRD] * 3)
        assert sorted(began) == sorted([ONE] * 30 + [ANOTHER] * 3 + [THIRD] * 3)
        # Three of the first, one of another, and then each in turn.
        assert began[:4] == [ONE] * 3 + [ANOTHER]
        assert set(began[4:7]) == {ONE, ANOTHER, THIRD}
        assert THIRD not in began[13:]

    run(test)


def test_of_one_account_who_came_first_begins_first() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        began: list[int] = []

        async def operate(number: int) -> None:
            with queue.in_flight(await queue.enter(LOCK, ONE), remember=False):
                began.append(number)
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(operate, number)
                await trio.sleep(0.0001)
        assert began == list(range(20))

    run(test)


def test_progress_lets_an_operation_begin_that_queued_behind_a_silent_one() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK, ONE)
        await trio.sleep(1)
        waited: list[float] = []

        async def enter() -> None:
            waited.append(await entered_after(queue))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
            await trio.sleep(1)
            state.progressed()
        assert waited == [pytest.approx(1)]

    run(test)


def test_an_operation_that_is_cancelled_as_its_turn_comes_leaves_no_place_taken() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        states = [await queue.enter(LOCK, ONE) for _ in range(3)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(queue.enter, LOCK, ONE)
            await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
            with queue.in_flight(states[0], remember=False):
                pass
        assert (states[0].in_flight, states[0].of_all.queued) == (2, 0)

    run(test)


def test_one_silent_operation_makes_the_next_wait() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK, ONE)
        assert await entered_after(queue) == 0
        await trio.sleep(0.06)
        assert await refused_after(queue, errno.ETIMEDOUT) == pytest.approx(TIMEOUT)
        state.progressed()
        assert await entered_after(queue) == 0

    run(test)


def test_another_lock_and_no_lock_are_free() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        for account in (ONE, ONE, ONE, ANOTHER):
            await queue.enter(LOCK, account)
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
        assert (await queue.enter(LOCK, ONE)).timeout == 0.25
        assert (await queue.enter(("another", "exec"), ONE)).timeout == TIMEOUT
        await trio.sleep(58.5)
        queue.forget_old()
        assert (await queue.enter(("process", "view"), ONE)).timeout == TIMEOUT

    run(test)


def test_a_worker_that_is_only_slow_shortens_the_wait_of_its_own_account_alone() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK, ONE)
        with pytest.raises(Slow), queue.in_flight(state, remember=True):
            raise Slow
        assert queue.slow() == [LOCK]
        assert await refused_after(queue, errno.EBUSY) == 0
        another = await queue.enter(LOCK, ANOTHER)
        assert another.timeout == TIMEOUT
        await trio.sleep(2)
        assert [queue.is_waited_for(LOCK, account) for account in (ONE, ANOTHER)] == [True, True]
        with queue.in_flight(another, remember=True):
            pass
        assert (await queue.enter(LOCK, ONE)).timeout == 0.25

    run(test)


def test_after_a_timeout_the_lock_counts_as_waited_for_for_a_minute() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await time_out(queue)
        assert queue.is_waited_for(LOCK, ANOTHER)
        assert not queue.is_waited_for(("another", "exec"), ANOTHER)
        await trio.sleep(61)
        assert not queue.is_waited_for(LOCK, ANOTHER)

    run(test)


def test_timeouts_in_other_namespaces_and_other_errors_are_not_remembered() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        await time_out(queue, remember=False)
        with (
            pytest.raises(Unanswered),
            queue.in_flight(await queue.enter(LOCK, ONE), remember=True),
        ):
            raise Unanswered(errno.EBUSY, "too many wait already")
        assert (await queue.enter(LOCK, ONE)).timeout == TIMEOUT

    run(test)


def test_a_killed_worker_that_is_not_reaped_holds_up_its_lock_only_until_then() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        state = await queue.enter(LOCK, ONE)
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
        state = await queue.enter(LOCK, ONE)
        assert await queue.enter(LOCK, ONE) is state
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
        state = await queue.enter(LOCK, ONE)
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
            with queue.in_flight(await queue.enter(("process", number), ONE), remember=True):
                pass
        assert not queue._locks
        await queue.enter(LOCK, ONE)
        await trio.sleep(1)
        with trio.move_on_after(1):
            await queue.enter(LOCK, ONE)
        assert queue._locks[LOCK].queued == 0

    run(test)


def test_whoever_queues_and_whoever_comes_later_are_on_the_same_lock() -> None:
    async def test() -> None:
        queue = LockQueue(TIMEOUT)
        first = await queue.enter(LOCK, ONE)
        await trio.sleep(1)
        queued: list[LockState] = []

        async def enter() -> None:
            queued.append(await queue.enter(LOCK, ONE))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
            await trio.sleep(1)
            with queue.in_flight(first, remember=False):
                pass
            assert await queue.enter(LOCK, ONE) is first
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
        assert list(queue._timed_out) == [(("other", "exec"), None)]

    run(test)


def test_a_lock_that_was_free_for_long_is_not_suspicious() -> None:
    async def test() -> None:
        state = Lock(LOCK).state_of(ONE, TIMEOUT)
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
