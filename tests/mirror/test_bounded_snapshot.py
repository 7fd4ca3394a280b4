"""A view that is made in this process does without a source that never comes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from procmirror.decoding.view import DecodeError, Machine
from procmirror.mirror import bounded_snapshot
from procmirror.mirror.snapshot import Snapshot
from tests.harness import load, until

JOINED, SINGLE = "PID/process", "PID/status"


@pytest.fixture
def root() -> Iterator[int]:
    descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def never() -> Iterator[int]:
    """What can be read from never has anything, and ends with the test."""
    reading, writing = os.pipe()
    yield reading
    os.close(writing)
    os.close(reading)


def made(
    monkeypatch: pytest.MonkeyPatch,
    root: int,
    sources: Sequence[str],
    read: Callable[[str], bytes],
    view: str = JOINED,
) -> list[bytes]:
    """The pieces of a view: what `read` gives for each source that is not left out."""

    def snapshot(
        _: int, path: bytes, wanted: Snapshot, progress: Callable[[], None]
    ) -> Iterator[bytes]:
        del path
        for source in sources:
            if source in wanted.left_out:
                yield b"-"
                continue
            wanted.note.begin(source)
            found = read(source)
            wanted.note.end()
            progress()
            yield found

    monkeypatch.setattr(bounded_snapshot, "snapshot", snapshot)
    wanted = Snapshot(view, ".json", Machine(), None, None, root, root)
    return list(bounded_snapshot.bounded_snapshot(root, b"", wanted))


def test_a_source_that_never_comes_is_left_out(
    monkeypatch: pytest.MonkeyPatch, root: int, never: int
) -> None:
    def read(source: str) -> bytes:
        return os.read(never, 1) if source.startswith("stuck") else source.encode()

    sources = ("stuck1", "stuck2", "stuck3", "stuck4")
    assert made(monkeypatch, root, (*sources, "a"), read) == [b"-"] * 4 + [b"a"]


def test_an_error_is_raised_here(monkeypatch: pytest.MonkeyPatch, root: int) -> None:
    for error in (PermissionError(13, "no"), DecodeError("view", "odd"), KeyboardInterrupt()):

        def read(_: str, error: BaseException = error) -> bytes:
            raise error

        with pytest.raises(type(error)):
            made(monkeypatch, root, ("a",), read)


def test_who_computes_for_long_is_waited_for(monkeypatch: pytest.MonkeyPatch, root: int) -> None:
    def read(source: str) -> bytes:
        began = time.thread_time()
        while time.thread_time() - began < 1 / load():
            pass
        return source.encode()

    assert made(monkeypatch, root, ("a",), read) == [b"a"]


def test_what_is_out_is_not_made_again(monkeypatch: pytest.MonkeyPatch, root: int) -> None:
    """A source behind it is waited for."""
    waited = []

    def read(source: str) -> bytes:
        if source == "slow":
            waited.append(source)
            time.sleep(1.2)
        return source.encode()

    long = "a" * (1 << 21)
    assert made(monkeypatch, root, (long, "slow"), read) == [long.encode(), b"slow"]
    assert waited == ["slow"]


def test_a_view_of_one_source_is_made_by_this_thread(
    monkeypatch: pytest.MonkeyPatch, root: int
) -> None:
    here = threading.get_ident()
    assert made(monkeypatch, root, ("a",), lambda _: b"%d" % threading.get_ident(), SINGLE) == [
        b"%d" % here
    ]


def test_a_thread_that_was_abandoned_reads_nothing_more_and_leaves_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, root: int
) -> None:
    reading, writing = os.pipe()
    before, read_by = len(os.listdir("/proc/self/fd")), list[str]()

    def read(source: str) -> bytes:
        read_by.append(source)
        return os.read(reading, 1) if source == "stuck" else source.encode()

    assert made(monkeypatch, root, ("stuck", "a"), read) == [b"-", b"a"]
    os.close(writing)
    until(lambda: threading.active_count() == 1, "it goes on")
    assert read_by == ["stuck", "a"]
    assert len(os.listdir("/proc/self/fd")) == before - 1
    os.close(reading)


def test_what_a_thread_hangs_in_is_left_out_at_once_until_it_comes_out(
    monkeypatch: pytest.MonkeyPatch, root: int
) -> None:
    reading, writing = os.pipe()
    asked = []

    def read(source: str) -> bytes:
        asked.append(source)
        return os.read(reading, 1) if source == "stuck" else source.encode()

    for _ in range(3):
        assert made(monkeypatch, root, ("stuck", "a"), read) == [b"-", b"a"]
    assert asked == ["stuck", *["a"] * 3]
    os.close(writing)
    until(lambda: threading.active_count() == 1, "it goes on")
    assert made(monkeypatch, root, ("stuck", "a"), read) == [b"", b"a"]
    os.close(reading)


def test_where_too_many_threads_hang_no_view_is_made(
    monkeypatch: pytest.MonkeyPatch, root: int, never: int
) -> None:
    monkeypatch.setattr(bounded_snapshot, "_MOST_HANGING", 1)
    monkeypatch.setattr(bounded_snapshot, "_hanging", bounded_snapshot._Hanging())

    def read(source: str) -> bytes:
        return os.read(never, 1) if source == "stuck" else source.encode()

    assert made(monkeypatch, root, ("stuck", "a"), read) == [b"-", b"a"]
    with pytest.raises(OSError, match="busy"):
        made(monkeypatch, root, ("a",), read)


def test_without_a_further_thread_this_one_makes_the_view(
    monkeypatch: pytest.MonkeyPatch, root: int
) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert made(monkeypatch, root, ("a", "b"), str.encode) == [b"a", b"b"]


def test_what_is_about_this_process_is_made_by_this_thread() -> None:
    own = os.open("/proc/self/", os.O_RDONLY | os.O_DIRECTORY)
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    here = threading.get_ident()

    def make(*_: object) -> Iterator[int]:
        yield threading.get_ident()

    assert list(bounded_snapshot.bounded(own, b"", root, make)) == [here]
    assert list(bounded_snapshot.bounded(root, b"", root, make)) != [here]
    assert list(bounded_snapshot.bounded(root, b"", own, make)) == [here]
    os.close(own)
    os.close(root)
