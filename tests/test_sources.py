"""What a view reads, also about the worker that makes it.

Whole, as another is told, and never another's answer.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procmirror.decoding.view import Each
from procmirror.identity.credentials import Credentials
from procmirror.procfs import read_note
from procmirror.procfs.contents import content
from procmirror.procfs.peer import PeerReader, Question
from procmirror.procfs.read_note import ReadNote
from procmirror.procfs.reading import Sources
from procmirror.workers.operations import Answer
from procmirror.workers.process import ProcRoots, Worker
from procmirror.workers.protocol import (
    DONE,
    SUBREQUEST,
    Reply,
    decode_reply,
    decode_request,
    encode,
)

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


@pytest.fixture
def daemon_and_worker() -> Iterator[tuple[socket.socket, Worker]]:
    """A worker that is not serving, and the other end of its socket."""
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    daemon, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    daemon.settimeout(10)
    with daemon, own:
        yield (
            daemon,
            Worker(own, ProcRoots(root, root), Credentials(), None, ReadNote(read_note.new())),
        )
    os.close(root)


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


def test_a_thread_that_was_given_up_gets_its_own_answer_and_nobody_else_does(
    daemon_and_worker: tuple[socket.socket, Worker],
) -> None:
    daemon, worker = daemon_and_worker
    first: list[Any] = []
    waiting = threading.Thread(
        target=lambda: first.extend(worker._ask_another([("content", b"1/stat")]))
    )
    waiting.start()
    asked = decode_reply(daemon.recv(1 << 16))
    assert asked.code == SUBREQUEST
    assert decode_request(asked.result).operation == Answer([("content", b"1/stat")])
    assert worker._ask_another([("content", b"1/comm"), ("link", b"1/exe")]) == [
        errno.EBUSY,
        errno.EBUSY,
    ]
    daemon.send(encode(Reply(DONE, [b"the answer to the first"])))
    waiting.join(10)
    assert first == [b"the answer to the first"]


class Noted:
    """A scope that notes when it begins and ends."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __enter__(self) -> None:
        self.notes.append("as the requester")

    def __exit__(self, *_: object) -> None:
        self.notes.append("as itself")


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_that_rests_becomes_nobody_again_after_the_end_of_the_work(
    daemon_and_worker: tuple[socket.socket, Worker], *, late: bool
) -> None:
    _, worker = daemon_and_worker
    noted = Noted()
    worker._credentials = SimpleNamespace(acting_as=lambda *_, **__: noted)  # type: ignore[assignment]
    rest = worker._resting()
    rest.__enter__()
    worker._turn += late
    rest.__exit__(None, None, None)
    assert noted.notes == ["as itself"] + ["as the requester"] * (not late)


def test_answers_that_are_too_long_together_are_asked_for_one_by_one(
    daemon_and_worker: tuple[socket.socket, Worker],
) -> None:
    daemon, worker = daemon_and_worker
    said: list[Any] = []
    questions: list[Question] = [("content", b"1/cmdline"), ("content", b"1/comm")]
    asking = threading.Thread(target=lambda: said.extend(worker._ask_another(questions)))
    asking.start()
    for expected, reply in (
        (questions, Reply(errno.EFBIG)),
        (questions[:1], Reply(errno.EFBIG)),
        (questions[1:], Reply(DONE, [b"comm\n"])),
    ):
        request = decode_request(decode_reply(daemon.recv(1 << 16)).result)
        assert request.operation == Answer(expected)
        daemon.send(encode(reply))
    asking.join(10)
    assert said == [errno.EFBIG, b"comm\n"]
