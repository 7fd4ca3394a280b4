"""An account whose workers do not answer look-ups is refused for a while, longer each time."""

from __future__ import annotations

import errno
from contextlib import suppress

import pytest
import trio

from procmirror.identity.errors import Unanswered
from procmirror.workers.silent import SilentAccounts
from tests.workers.fakes import run

ALICE, BOB = 1000, 1001


def time_out(accounts: SilentAccounts, code: int = errno.ETIMEDOUT) -> None:
    with pytest.raises(Unanswered), accounts.asked(ALICE):
        raise Unanswered(code, "no answer in time")


def is_refused(accounts: SilentAccounts, account: int = ALICE) -> bool:
    try:
        accounts.refuse(account)
    except Unanswered as refused:
        return refused.errno == errno.EBUSY
    return False


async def refused_for(accounts: SilentAccounts) -> float:
    """Until when an account is refused, in seconds from now."""
    began = trio.current_time()
    for _ in range(1000):
        if not is_refused(accounts):
            break
        await trio.sleep(0.1)
    return trio.current_time() - began


def test_each_timeout_doubles_the_time_of_refusal_up_to_a_minute() -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        assert await refused_for(accounts) == 0
        for seconds in (1, 2, 4, 8, 16, 32, 64, 64):
            time_out(accounts)
            assert await refused_for(accounts) == pytest.approx(seconds, abs=0.2)

    run(test)


def test_an_answer_ends_the_refusals_and_their_growth() -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        time_out(accounts)
        time_out(accounts)
        with accounts.asked(ALICE):
            pass
        assert not is_refused(accounts)
        time_out(accounts)
        assert await refused_for(accounts) == pytest.approx(1, abs=0.2)

    run(test)


def test_nobody_else_is_refused() -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        time_out(accounts)
        assert is_refused(accounts) and not is_refused(accounts, BOB)

    run(test)


def test_another_failure_is_no_silence() -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        time_out(accounts, code=errno.EIO)
        assert not is_refused(accounts)

    run(test)


async def answered(accounts: SilentAccounts, seconds: float) -> None:
    with accounts.asked(ALICE):
        await trio.sleep(seconds)


async def held_until_refused(accounts: SilentAccounts, seconds: float) -> float:
    """For how long an account holds a directory that takes so long for each answer."""
    began = trio.current_time()
    while not is_refused(accounts) and trio.current_time() < began + 60:
        await answered(accounts, seconds)
    return trio.current_time() - began


@pytest.mark.parametrize("seconds", [0.011, 0.05, 0.24])
def test_late_answers_hold_a_directory_for_some_seconds_and_each_time_it_is_refused_longer(
    seconds: float,
) -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        assert await held_until_refused(accounts, seconds) < 1
        assert await refused_for(accounts) == pytest.approx(1, abs=0.2)
        assert await held_until_refused(accounts, seconds) < 1
        assert await refused_for(accounts) == pytest.approx(2, abs=0.2)
        assert not is_refused(accounts, BOB)

    run(test)


def test_a_killed_worker_is_late_as_another_has_to_be_started() -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        for _ in range(20):
            with suppress(Unanswered), accounts.asked(ALICE):
                await trio.sleep(0.1)
                raise Unanswered(errno.EIO, "the worker is gone")
        assert is_refused(accounts)

    run(test)


def test_prompt_answers_are_never_too_many() -> None:
    async def test() -> None:
        assert await held_until_refused(SilentAccounts(), 0.009) >= 60

    run(test)


def test_a_late_answer_now_and_then_is_forgiven() -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        for _ in range(100):
            await answered(accounts, 0.1)
            await trio.sleep(1)
            assert not is_refused(accounts)

    run(test)


def test_what_is_late_at_the_same_time_counts_once() -> None:
    async def test() -> None:
        accounts = SilentAccounts()
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(answered, accounts, 0.2)
        assert not is_refused(accounts)

    run(test)


def test_on_a_busy_machine_nobody_is_late() -> None:
    async def test() -> None:
        began = trio.current_time()
        # This process gets a processor after half as long as the answer takes.
        accounts = SilentAccounts(lambda: (trio.current_time() - began) / 2)
        assert await held_until_refused(accounts, 0.1) >= 60

    run(test)


def test_time_that_no_requester_has_caused_makes_nobody_late() -> None:
    async def test() -> None:
        accounts, excused = SilentAccounts(), [7.0]
        for each in [0.095] * 100 + [0.0] * 100:
            assert not each or not is_refused(accounts)
            with accounts.asked(ALICE, lambda: sum(excused)):
                await trio.sleep(0.1)
                excused.append(each)
        assert is_refused(accounts)

    run(test)
