"""Requests that wait are served account by account, and few wait without bound."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pyfuse3
import pytest

from procmirror.fuse import turns as module
from procmirror.fuse.turns import Parked, Turns
from procmirror.identity.errors import Unanswered

HEAVY, LIGHT, OTHER = 1000, 1001, 1002


def queued(turns: Turns, *accounts: int) -> None:
    for number, account in enumerate(accounts):
        turns.add(Parked(account), (account, number))


def locking(turns: Turns, directory: int, *accounts: int) -> None:
    for number, account in enumerate(accounts):
        turns.add(Parked(account, directory), (account, number, directory))


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


@pytest.mark.parametrize("directory", [pyfuse3.ROOT_INODE, 20])
def test_who_locks_a_directory_waits_for_none_of_the_other_requests_of_the_account(
    turns: Turns, directory: int
) -> None:
    """Others may wait for that directory."""
    queued(turns, *[HEAVY] * 1000)
    locking(turns, 30, *[HEAVY] * 1000)
    locking(turns, directory, HEAVY)
    assert (HEAVY, 0, directory) in [turns.next() for _ in range(4)]


def test_the_root_waits_for_no_other_directory(turns: Turns) -> None:
    for directory in range(30, 1000):
        locking(turns, directory, HEAVY)
    locking(turns, pyfuse3.ROOT_INODE, HEAVY)
    assert (HEAVY, 0, pyfuse3.ROOT_INODE) in [turns.next() for _ in range(2)]


def test_whoever_asks_in_many_directories_has_no_more_turns(turns: Turns) -> None:
    for directory in range(30, 1000):
        locking(turns, directory, HEAVY)
    locking(turns, 20, LIGHT)
    queued(turns, LIGHT)
    first = served(turns, 3)
    assert first.count(LIGHT) == 2


def test_an_account_with_too_many_is_refused_and_no_other(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OF_ACCOUNT", 3)
    queued(turns, HEAVY)
    locking(turns, 20, HEAVY)
    locking(turns, 30, HEAVY)
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
        locking(turns, 20, account)
        locking(turns, account, HEAVY)
        while turns.next():
            pass
    kinds = (turns._anywhere, turns._in_root, turns._in_others)
    assert all(len(kind._queues._served) <= 1000 for kind in kinds)
    assert not any(kind._queues._queues for kind in kinds)
    assert not turns._waiting
