"""An account whose workers do not answer look-ups is refused for a while, longer each time."""

from __future__ import annotations

import errno

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
