"""What a view reads, also about the worker that makes it.

Whole, as another is told, and never another's answer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.view import Each
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
