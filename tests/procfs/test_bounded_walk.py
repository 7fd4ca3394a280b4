"""A walk goes on past what hangs, shows it without what would hang, and counts what it leaves behind."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.view import MOST_OF_MAPS, Each
from procmirror.procfs import bounded_walk, contents, reading
from procmirror.procfs.bounded_walk import BoundedWalk, Hung
from procmirror.procfs.peer import PeerReader
from procmirror.procfs.reading import Sources

NAMES = [str(number) for number in range(300)]


class Hanging:
    """Makes names, and hangs at some of them until the test ends: at each of their first calls."""

    def __init__(self, *hangs: str, always: bool = False) -> None:
        self.free = threading.Event()
        self.calls: list[str] = []
        self._hangs = set(hangs)
        self._always = always

    def make(self, name: str) -> str | None:
        self.calls.append(name)
        if name in self._hangs and (self._always or self.calls.count(name) == 1):
            assert self.free.wait(60)
        return None if name == "none" else f"made {name}"


@pytest.fixture
def hanging() -> Iterator[Callable[..., Hanging]]:
    made: list[Hanging] = []

    def start(*hangs: str, always: bool = False) -> Hanging:
        made.append(Hanging(*hangs, always=always))
        return made[-1]

    yield start
    for one in made:
        one.free.set()


def walk() -> BoundedWalk:
    return BoundedWalk(contextlib.nullcontext)


def test_where_there_may_be_no_thread_the_walk_is_refused(
    hanging: Callable[..., Hanging], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RLIMIT_NPROC of who has made a user namespace also counts the workers in it."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(BlockingIOError):
        list(walk().walk(NAMES, hanging().make))


def test_all_is_made_once_and_in_order(hanging: Callable[..., Hanging]) -> None:
    made, walking = hanging(), walk()
    assert list(walking.walk(NAMES, made.make)) == [f"made {name}" for name in NAMES]
    assert made.calls == NAMES
    assert (walking.given_up, walking.refused) == (0, set())
    assert list(walk().walk([], made.make)) == []
    assert list(walk().walk(["1", "none", "2"], made.make)) == ["made 1", "made 2"]


@pytest.mark.parametrize("stuck", ["0", "1", "64", "150", "299"])
def test_a_name_that_hung_once_is_made_again_and_stays(
    hanging: Callable[..., Hanging], stuck: str
) -> None:
    made, walking = hanging(stuck), walk()
    assert list(walking.walk(NAMES, made.make)) == [f"made {name}" for name in NAMES]
    assert walking.refused == {stuck}
    assert walking.given_up == 1
    assert made.calls.count(stuck) == 2


def test_a_name_that_hangs_again_is_made_for_the_last_time(hanging: Callable[..., Hanging]) -> None:
    made, walking = hanging("1", "299", always=True), walk()
    expected = [f"made {name}" for name in NAMES if name not in {"1", "299"}]
    assert list(walking.walk(NAMES, made.make)) == expected
    assert walking.unread == walking.refused == {"1", "299"}
    assert [made.calls.count(name) for name in ("1", "2", "299")] == [3, 1, 3]
    assert walking.given_up == 6


def test_after_many_waits_the_others_are_short(
    hanging: Callable[..., Hanging], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_walk, "_STEP_SECONDS", 3600.0)
    monkeypatch.setattr(bounded_walk, "_MOST_LONG_WAITS", 0)
    made = hanging(*NAMES[:20])
    assert len(list(walk().walk(NAMES, made.make))) == len(NAMES)


def test_a_thread_that_is_left_hands_nothing_over(hanging: Callable[..., Hanging]) -> None:
    """What it makes when it comes free at last is nobody's, and it goes no further."""
    made, walking = hanging("5"), walk()
    before = threading.active_count()
    assert len(list(walking.walk(NAMES, made.make))) == len(NAMES)
    made.free.set()
    ends = time.monotonic() + 30
    while threading.active_count() > before:
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert len(made.calls) == len(NAMES) + 1


def test_a_thread_that_is_left_ends_where_it_asks() -> None:
    """Though what it makes keeps every error for itself, as the parts of a record do."""
    ended: list[str] = []
    asks = iter(["5"])

    def make(name: str) -> str:
        if name != "5" or not next(asks, ""):
            return name
        try:
            while True:
                with contextlib.suppress(Exception):
                    bounded_walk.go_on()
                time.sleep(0.001)
        finally:
            ended.append(name)

    numbers = list(map(str, range(5, 50)))
    assert list(walk().walk(numbers, make)) == numbers
    ends = time.monotonic() + 30
    while not ended:
        assert time.monotonic() < ends
        time.sleep(0.01)
    bounded_walk.go_on()


def test_an_exception_ends_the_walk_after_what_was_made() -> None:
    def make(name: str) -> str:
        if name == "3":
            raise PermissionError(errno.EACCES, "no")
        return name

    walking = walk()
    made: list[str] = []
    with pytest.raises(PermissionError, match="no"):
        made.extend(walking.walk(NAMES, make))
    assert made == ["0", "1", "2"]
    assert walking.given_up == 0


def test_a_walk_that_nobody_wants_to_the_end_leaves_no_thread_uncounted(
    hanging: Callable[..., Hanging],
) -> None:
    made, walking = hanging("100"), walk()
    results = walking.walk(NAMES, made.make)
    assert next(results) == "made 0"
    results.close()  # type: ignore[attr-defined]
    hung = "100" in made.calls
    assert walking.given_up == hung


def test_only_the_walking_thread_is_the_requester() -> None:
    inside: list[int] = []

    @contextlib.contextmanager
    def acting() -> Iterator[None]:
        inside.append(threading.get_ident())
        yield
        inside.append(-threading.get_ident())

    def make(_: str) -> int:
        return threading.get_ident()

    (walker,) = set(BoundedWalk(acting).walk(NAMES, make))
    assert inside == [walker, -walker]
    assert walker != threading.get_ident()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    for pid in ("41", "42", "43"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_bytes(pid.encode())
        (tmp_path / pid / "cmdline").write_bytes(b"command of " + pid.encode())
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_of_long_mappings_a_walk_reads_no_more_than_views_show(folder: int, tmp_path: Path) -> None:
    (tmp_path / "41/maps").write_bytes(bytes(3 * MOST_OF_MAPS))
    sources = Sources(folder, b"", None, None, lambda: None)
    (read,) = sources.each(Each(["41"], lambda pid: len(sources.read(f"{pid}/maps")), (), ()))
    assert MOST_OF_MAPS < read < 2 * MOST_OF_MAPS


def test_a_stuck_process_is_shown_without_what_would_hang(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, content = threading.Event(), contents.content

    def hangs(directory: int, path: bytes, progress: Callable[[], None], enough: int = 0) -> bytes:
        if path == b"42/cmdline":
            assert free.wait(60)
        return content(directory, path, progress, enough)

    monkeypatch.setattr(reading, "content", hangs)
    abandoned: list[int] = []
    peer = PeerReader(b"", lambda _: [], abandon=abandoned.append)
    sources = Sources(folder, b"", None, peer, lambda: None)

    def make(pid: str) -> tuple[Any, ...]:
        try:
            return pid, sources.read(f"{pid}/comm"), sources.read(f"{pid}/cmdline")
        except OSError as refused:
            return pid, sources.read(f"{pid}/comm"), refused.errno

    made = list(sources.each(Each(["41", "42", "43"], make, (), ())))
    sources.close()
    free.set()
    assert made == [
        ("41", b"41", b"command of 41"),
        ("42", b"42", errno.EBUSY),
        ("43", b"43", b"command of 43"),
    ]
    assert abandoned == [1]


def test_the_next_walks_do_not_wait_for_it_again(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that asks for all processes again and again has one more thread, not one each time."""
    free, content = threading.Event(), contents.content
    hung: list[threading.Thread] = []

    def hangs(directory: int, path: bytes, progress: Callable[[], None], enough: int = 0) -> bytes:
        if path == b"42/cmdline":
            hung.append(threading.current_thread())
            assert free.wait(60)
        return content(directory, path, progress, enough)

    monkeypatch.setattr(reading, "content", hangs)

    def walked() -> list[object]:
        sources = Sources(folder, b"", None, None, lambda: None)

        def make(pid: str) -> object:
            try:
                return sources.read(f"{pid}/cmdline")
            except OSError as refused:
                return refused.errno

        made = list(sources.each(Each(["41", "42", "43"], make, (), ())))
        sources.close()
        return made

    stuck = [b"command of 41", errno.EBUSY, b"command of 43"]
    assert [walked() for _ in range(4)] == [stuck] * 4
    assert len(hung) == 1
    free.set()
    hung[0].join()
    assert walked() == [b"command of 41", b"command of 42", b"command of 43"]


def test_a_name_at_which_many_threads_hang_is_passed_over(
    hanging: Callable[..., Hanging],
) -> None:
    made, hung = hanging("1", always=True), Hung()
    for _ in range(3):
        walking = BoundedWalk(contextlib.nullcontext, hung)
        assert list(walking.walk(["0", "1", "2"], made.make)) == ["made 0", "made 2"]
    assert hung.count() == {"1": 3}
    assert walking.given_up == 0


def test_of_a_process_that_hangs_twice_nothing_is_read(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not left out without a word: whoever makes its row is told why all is missing."""
    free, content = threading.Event(), contents.content

    def hangs(directory: int, path: bytes, progress: Callable[[], None], enough: int = 0) -> bytes:
        if path.startswith(b"42/"):
            assert free.wait(60)
        return content(directory, path, progress, enough)

    monkeypatch.setattr(reading, "content", hangs)
    # The one file of this folder is such as may wait.
    monkeypatch.setattr(reading, "_NEVER_WAITS", frozenset())
    sources = Sources(folder, b"", None, PeerReader(b"", lambda _: []), lambda: None)

    def told(ask: Callable[[str], object], path: str) -> object:
        try:
            return ask(path)
        except OSError as refused:
            return refused.errno

    def make(pid: str) -> list[object]:
        asked: list[tuple[Callable[[str], object], str]] = [
            (sources.read, "comm"),
            (lambda path: list(sources.lines(path)), "comm"),
            (lambda path: sources.part(path, 0, 1), "comm"),
            (sources.names, "."),
            (sources.size, "comm"),
            (sources.link, "comm"),
        ]
        return [told(ask, f"{pid}/{name}") for ask, name in asked]

    made = list(sources.each(Each(["41", "42", "43"], make, (), ())))
    sources.close()
    free.set()
    assert [row[0] for row in made] == [b"41", errno.EBUSY, b"43"]
    assert made[1] == [errno.EBUSY] * 6
