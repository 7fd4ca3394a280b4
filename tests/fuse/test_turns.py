"""Requests that wait are served account by account, and few wait without bound."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from procmirror.fuse import turns as module
from procmirror.fuse.turns import Parked, Turns
from procmirror.identity.errors import Unanswered

HEAVY, LIGHT, OTHER = 1000, 1001, 1002


def queued(turns: Turns, *accounts: int) -> None:
    for number, account in enumerate(accounts):
        turns.add(Parked(account), (account, number))


def served(turns: Turns, count: int) -> list[int]:
    return [turns.next()[0] for _ in range(count)]


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns()
    yield made
    while made.next():
        pass


def test_accounts_take_turns_however_many_requests_each_has(turns: Turns) -> None:
    queued(turns, *[HEAVY] * 5, LIGHT, OTHER, LIGHT)
    assert served(turns, 8) == [HEAVY, LIGHT, OTHER, HEAVY, LIGHT, HEAVY, HEAVY, HEAVY]


def test_who_was_served_longest_ago_is_next(turns: Turns) -> None:
    queued(turns, HEAVY, HEAVY, HEAVY)
    assert served(turns, 1) == [HEAVY]
    queued(turns, LIGHT)
    assert served(turns, 1) == [LIGHT]
    queued(turns, LIGHT)
    assert served(turns, 3) == [HEAVY, LIGHT, HEAVY]


def test_those_who_come_again_and_again_do_not_keep_the_one_who_waits(turns: Turns) -> None:
    queued(turns, *[HEAVY] * 10)
    got = []
    for _ in range(4):
        queued(turns, LIGHT, OTHER)
        got += served(turns, 3)
    assert got.count(HEAVY) == got.count(LIGHT) == got.count(OTHER) == 4


def test_requests_of_one_account_keep_their_order(turns: Turns) -> None:
    queued(turns, HEAVY, HEAVY, HEAVY)
    assert [turns.next() for _ in range(4)] == [(HEAVY, 0), (HEAVY, 1), (HEAVY, 2), None]
    assert turns.size == 0


def test_an_account_with_too_many_is_refused_and_no_other(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OF_ACCOUNT", 3)
    queued(turns, *[HEAVY] * 3)
    with pytest.raises(Unanswered) as refused:
        turns.wait(int, HEAVY).send(None)
    assert refused.value.errno == errno.EBUSY
    waiting = turns.wait(int, LIGHT)
    trap = waiting.send(None)
    assert isinstance(trap, Parked)
    assert trap.account == LIGHT
    waiting.close()


def test_nobody_waits_for_a_turn_where_no_other_request_waits(turns: Turns) -> None:
    turns.crowded = True
    assert not turns.are_taken()
    assert not turns.crowded
    turns.more = lambda: True
    assert turns.are_taken()


def test_what_is_remembered_of_accounts_is_bounded(turns: Turns) -> None:
    for account in range(5000):
        queued(turns, account)
        turns.next()
    assert len(turns._served) <= 1000
