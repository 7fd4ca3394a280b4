"""What a view reads, also about the worker that makes it.

Whole, as another is told, and never another's answer.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.view import Each
from procmirror.procfs import bounded_walk
from procmirror.procfs.contents import content
from procmirror.procfs.peer import PeerReader, Question
from procmirror.procfs.read_note import Reads
from procmirror.procfs.reading import Sources

NUMBER = "4242"


class Told:
    """Another who is asked about process NUMBER, and what he was asked each time."""

    def __init__(self, answers: dict[Question, Any]) -> None:
        self.asked: list[Sequence[Question]] = []
        self._answers = answers

    def ask(self, questions: Sequence[Question]) -> list[Any]:
        self.asked.append(list(questions))
        return [self._answers.get(question, errno.EACCES) for question in questions]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    for pid in ("7", "42", "42420"):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_bytes(b"here\n")
        (tmp_path / pid / "exe").symlink_to("/bin/here")
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def sources(folder: int, told: Told) -> Sources:
    return Sources(folder, b"", None, PeerReader(NUMBER.encode(), told.ask), lambda: None)


def test_a_walk_asks_once_for_all_that_it_will_want_to_know(folder: int) -> None:
    comm, exe, stat = (f"{NUMBER}/{name}".encode() for name in ("comm", "exe", "stat"))
    told = Told(
        {("content", comm): b"there\n", ("link", exe): b"/bin/there", ("content", stat): b"1"}
    )
    reading = sources(folder, told)

    def made(pid: str) -> tuple[bytes, str]:
        return reading.read(f"{pid}/comm"), reading.link(f"{pid}/exe")

    walk = Each(["7", "42", NUMBER, "42420"], made, files=("comm", "stat"), links=("exe",))
    here = b"here\n", "/bin/here"
    assert list(reading.each(walk)) == [here, here, (b"there\n", "/bin/there"), here]
    assert told.asked == [[("content", comm), ("content", stat), ("link", exe)]]


def test_what_is_left_out_is_left_out_of_a_walk_too(folder: int) -> None:
    reads = Reads(Noting(), frozenset(["comm"]))  # type: ignore[arg-type]
    peer = PeerReader(NUMBER.encode(), Told({}).ask)
    reading = Sources(folder, b"", None, peer, lambda: None, reads)

    def made(pid: str) -> str:
        with pytest.raises(TimeoutError):
            reading.read(f"{pid}/comm")
        return reading.link(f"{pid}/exe")

    assert list(reading.each(Each(["7", "42"], made))) == ["/bin/here", "/bin/here"]


def test_a_walk_below_a_process_reads_what_is_below_it(tmp_path: Path, folder: int) -> None:
    (tmp_path / "7" / "42").mkdir()
    (tmp_path / "7" / "42" / "comm").write_bytes(b"below\n")
    (tmp_path / "7" / "42" / "exe").symlink_to("/bin/below")
    reading = Sources(folder, b"7", None, PeerReader(b"", Told({}).ask), lambda: None)

    def made(name: str) -> tuple[bytes, str, int]:
        size = reading.size(f"{name}/comm")
        return reading.read(f"{name}/comm"), reading.link(f"{name}/exe"), size

    assert list(reading.each(Each(["42"], made))) == [(b"below\n", "/bin/below", 6)]


def test_of_a_process_at_which_a_walk_hung_nothing_is_read_that_may_wait(
    folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_walk, "_STEP_SECONDS", 0.05)
    reading, tried, done = sources(folder, Told({})), list[str](), threading.Event()

    def made(pid: str) -> str:
        tried.append(pid)
        if tried.count("42") == 1 and pid == "42":
            done.wait(60)
        try:
            return reading.read(f"{pid}/comm").decode() + str(reading.read(f"{pid}/io"))
        except OSError as refused:
            return errno.errorcode[refused.errno or 0]

    found = list(reading.each(Each(["7", "42", "42420"], made)))
    done.set()
    assert (found, tried) == (["ENOENT", "EBUSY", "ENOENT"], ["7", "42", "42", "42420"])


def test_what_was_not_foreseen_is_asked_for_itself_and_no_answer_serves_twice(folder: int) -> None:
    comm = f"{NUMBER}/comm".encode()
    told = Told({("content", comm): b"there\n", ("names", NUMBER.encode()): [b"comm", b"\xff"]})
    reading = sources(folder, told)
    assert reading.read(f"{NUMBER}/comm") == reading.read(f"{NUMBER}/comm") == b"there\n"
    assert reading.names(NUMBER) == ["comm", "\udcff"]
    assert told.asked == [[("content", comm)], [("content", comm)], [("names", NUMBER.encode())]]


def test_what_the_other_is_refused_is_refused(folder: int) -> None:
    with pytest.raises(PermissionError):
        sources(folder, Told({})).read(f"{NUMBER}/environ")


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 300_000])
@pytest.mark.parametrize("name", ["status", "comm"])
def test_a_content_is_whole_whatever_its_length(tmp_path: Path, name: str, size: int) -> None:
    raw = os.urandom(size)
    (tmp_path / name).write_bytes(raw)
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    assert content(folder, name.encode(), lambda: None) == raw
    os.close(folder)


class Noting:
    """A note that keeps what was noted."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, path: str) -> None:
        self.begun.append(path)

    def end(self) -> None:
        """Nothing."""


def test_what_is_read_after_a_walk_is_noted_again(folder: int) -> None:
    """Within a walk the walk limits the time, after it only who looks at the note."""
    note = Noting()
    peer = PeerReader(NUMBER.encode(), Told({}).ask)
    reads = Reads(note, frozenset(["7/comm"]))  # type: ignore[arg-type]
    reading = Sources(folder, b"", None, peer, lambda: None, reads)
    walk = Each(["42"], lambda pid: reading.read(f"{pid}/comm"))
    assert list(reading.each(walk)) == [b"here\n"] and note.begun == []
    assert (reading.read("42/comm"), reading.link("42/exe")) == (b"here\n", "/bin/here")
    assert note.begun == ["42/comm", "42/exe"]
    with pytest.raises(TimeoutError):
        reading.read("7/comm")
