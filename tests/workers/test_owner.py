"""The owner of a user namespace, if that is soon told."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from procmirror.identity.errors import error
from procmirror.workers import owner
from procmirror.workers.owner import RealUids, is_owned_or_unknown
from tests.harness import load, until

ALICE, BOB = 1000, 1001


class Prompt:
    """The process 7 is in a user namespace of Alice's."""

    def is_owned(self, target: bytes, uid: int) -> bool:
        return (target, uid) == (b"7", ALICE)


class Endless:
    """It waits until `descriptor` ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def is_owned(self, target: bytes, uid: int) -> bool:
        del target, uid
        return bool(os.read(self._descriptor, 1))


def test_the_owner_is_told() -> None:
    # On a busy machine the thread may not have run in time.
    assert is_owned_or_unknown(Prompt(), b"7", ALICE)
    assert any(not is_owned_or_unknown(Prompt(), b"7", BOB) for _ in range(50))


def test_what_is_not_soon_told_may_be_so() -> None:
    reading, writing = os.pipe()
    started = time.monotonic()
    assert is_owned_or_unknown(Endless(reading), b"7", BOB)
    assert time.monotonic() - started < load()
    os.close(writing)
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(5 * load())
    os.close(reading)


def test_without_a_further_thread_this_one_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert is_owned_or_unknown(Prompt(), b"7", ALICE)
    assert not is_owned_or_unknown(Prompt(), b"7", BOB)


class Statuses:
    """The `status` of processes: 7 is Alice's, 9 has ended, and the reader of any other waits."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.begun = self.read = 0

    def read_file(self, source: int, path: bytes) -> bytes:
        assert source == 3
        self.read += 1
        if path == b"9/status":
            raise error(errno.ENOENT)
        if path != b"7/status":
            self.begun += 1
            self.released.wait(60)
        return b"Name:\tUid:\t7\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n"


@pytest.fixture
def statuses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Statuses]:
    made = Statuses()
    monkeypatch.setattr(owner, "read_file", made.read_file)
    monkeypatch.setattr(owner, "_SOON_SECONDS", 0.5)
    yield made
    made.released.set()


def test_the_real_uid_of_a_process_is_told(statuses: Statuses) -> None:
    uids = RealUids(3)
    assert uids.of(b"7") == ALICE
    with pytest.raises(OSError, match="No such file"):
        uids.of(b"9")
    assert not statuses.begun


def test_an_answer_holds_for_a_moment(statuses: Statuses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request asks for it twice, as long as a worker is lost."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(owner, "time", SimpleNamespace(monotonic=lambda: clock.now))
    uids = RealUids(3)
    assert [uids.of(b"7") for _ in range(10)] == [ALICE] * 10
    assert statuses.read == 1
    clock.now += 0.6
    assert uids.of(b"7") == ALICE
    assert statuses.read == 2
    for _ in range(10):
        with pytest.raises(OSError, match="No such file"):
            uids.of(b"9")
    assert statuses.read == 3


def test_a_process_whose_status_is_not_soon_read_is_not_asked_about_twice(
    statuses: Statuses,
) -> None:
    uids = RealUids(3)
    assert [uids.of(b"5"), uids.of(b"5"), uids.of(b"7")] == [None, None, ALICE]
    assert statuses.begun == 1
    statuses.released.set()
    until(lambda: uids.of(b"5") == ALICE, "it is not asked again")


def test_eight_threads_hang_at_most(statuses: Statuses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_SOON_SECONDS", 0.05)
    uids = RealUids(3)
    assert {uids.of(b"%d" % pid) for pid in range(100, 120)} == {None}
    assert statuses.begun == 8
    assert uids.of(b"7") is None


def test_without_a_further_thread_the_uid_is_not_told(
    statuses: Statuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert RealUids(3).of(b"7") is None and not statuses.begun
