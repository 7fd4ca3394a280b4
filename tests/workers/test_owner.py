"""The owner of a user namespace, if that is soon told."""

from __future__ import annotations

import os
import threading
import time

import pytest

from procmirror.workers.owner import is_owned_or_unknown
from tests.harness import load

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
