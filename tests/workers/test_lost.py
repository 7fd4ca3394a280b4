"""A worker that cannot be ended counts against the account whose process it reads."""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable, Iterator
from pathlib import Path

import pytest

from procmirror.identity.errors import Unanswered
from procmirror.workers.lost import (
    MOST_LOST_OF_ACCOUNT,
    MOST_LOST_OF_ENDED,
    MOST_LOST_OF_ROOT,
    LostWorkers,
)

ALICE, BOB = 1000, 1001
# What the kernel tells of the user namespaces of processes: made by Bob, by root, and not soon told.
OUTERMOST = {b"5": (4026532001, BOB), b"6": (4026532002, 0), b"7": None, b"8": None}


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[int]:
    """A folder in the shape of a procfs: process 1 is root's, 2 Alice's, 3 Alice's setuid one."""
    uids = {"self": (0, 0), "1": (0, 0), "2": (ALICE, ALICE), "3": (ALICE, 0)}
    for pid, (real, effective) in uids.items():
        (tmp_path / pid).mkdir()
        status = f"Name:\tUid:\t7\nUid:\t{real}\t{effective}\t{effective}\t{effective}\n"
        (tmp_path / pid / "status").write_text(status)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def lost(proc: int) -> LostWorkers:
    made = LostWorkers(proc, OUTERMOST.__contains__)
    made.outermost_of = lambda target, _: OUTERMOST[target]
    return made


def refused(lost: LostWorkers, target: bytes, account: int) -> bool:
    try:
        lost.refuse(target, account)
    except Unanswered as unanswered:
        return unanswered.errno == errno.EBUSY
    return False


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        (b"1", ("about", 0)),
        (b"2", ("about", ALICE)),
        (b"3", ("about", ALICE)),
        # It has ended.
        (b"4", ("ended", BOB)),
        (b"5", ("about", BOB)),
        (b"6", ("about", -4026532002)),
        (b"7", ("about", None)),
        (b"", ("by", BOB)),
    ],
)
def test_the_cause_is_the_real_user_of_the_target_or_else_the_requester(
    lost: LostWorkers, target: bytes, cause: Hashable
) -> None:
    assert lost.cause(target, BOB) == cause


def test_with_four_lost_workers_nothing_more_is_asked_about_that_account(
    lost: LostWorkers,
) -> None:
    for _ in range(MOST_LOST_OF_ACCOUNT):
        assert not refused(lost, b"2", BOB)
        lost.add(lost.cause(b"2", BOB))
    assert refused(lost, b"2", BOB) and refused(lost, b"3", 0)
    # Neither the requester nor the owner of another process pays for it.
    assert not refused(lost, b"1", ALICE) and not refused(lost, b"", BOB)


def test_all_whose_owner_is_not_soon_told_count_together(lost: LostWorkers) -> None:
    for _ in range(MOST_LOST_OF_ACCOUNT):
        assert not refused(lost, b"8", BOB)
        lost.add(lost.cause(b"7", BOB))
    assert refused(lost, b"8", BOB) and not refused(lost, b"5", BOB)


@pytest.mark.parametrize("gone", [ProcessLookupError, FileNotFoundError])
def test_a_process_that_has_ended_counts_for_itself(lost: LostWorkers, gone: type) -> None:
    """Who takes down its memory may wait; whose it was nothing tells any more."""

    def ended(*_: object) -> None:
        raise gone

    lost.outermost_of = ended
    for _ in range(MOST_LOST_OF_ENDED):
        assert not refused(lost, b"5", ALICE)
        lost.add(lost.cause(b"5", ALICE))
    assert refused(lost, b"5", ALICE)
    assert not refused(lost, b"", ALICE) and not refused(lost, b"2", ALICE)
    assert not refused(lost, b"5", BOB)


@pytest.mark.parametrize("answer", [None, BlockingIOError(), OSError(24, ""), ValueError()])
def test_what_is_not_told_of_a_process_counts_for_who_asks(
    lost: LostWorkers, monkeypatch: pytest.MonkeyPatch, answer: Exception | None
) -> None:
    """Its status may be leased, or its memory end in the hands of its reader."""

    def told(_: bytes) -> None:
        if answer:
            raise answer

    monkeypatch.setattr(lost._real_uids, "of", told)
    for account, most in ((BOB, MOST_LOST_OF_ACCOUNT), (0, MOST_LOST_OF_ROOT)):
        for _ in range(most):
            assert not refused(lost, b"2", account)
            lost.add(lost.cause(b"2", account))
        assert refused(lost, b"2", account) and not refused(lost, b"", account)
    assert not refused(lost, b"2", ALICE) and not refused(lost, b"8", BOB)


def test_about_processes_of_root_more_are_allowed(lost: LostWorkers) -> None:
    for _ in range(MOST_LOST_OF_ROOT):
        assert not refused(lost, b"1", BOB)
        lost.add(lost.cause(b"1", BOB))
    assert refused(lost, b"1", BOB)


def test_one_that_ends_after_all_does_not_count_any_more(lost: LostWorkers) -> None:
    cause = lost.cause(b"2", BOB)
    for _ in range(MOST_LOST_OF_ACCOUNT):
        lost.add(cause)
    lost.remove(cause)
    assert not refused(lost, b"2", BOB)
    for _ in range(MOST_LOST_OF_ACCOUNT - 1):
        lost.remove(cause)
    assert not lost._lost
