"""A worker acts as the requester, and another worker answers what it may not ask about itself."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from procmirror.identity.credentials import Credentials
from procmirror.procfs.peer import Question
from procmirror.workers.current_request import CurrentRequest, Subrequests
from procmirror.workers.protocol import (
    DONE,
    SUBREQUEST,
    Reply,
    decode_reply,
    decode_request,
    encode,
)
from procmirror.workers.view_operations import Answer


class Asked(NamedTuple):
    """The questions of a worker, and the daemon's end of its socket."""

    subrequests: Subrequests
    daemon: socket.socket

    def received(self) -> object:
        """The next operation that the worker wants another one to carry out."""
        message = decode_reply(self.daemon.recv(1 << 16))
        assert message.code == SUBREQUEST
        return decode_request(message.result).operation


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    monkeypatch.setattr("procmirror.identity.own_process.die_with_parent", lambda: None)
    daemon, own = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    daemon.settimeout(10)
    with daemon, own:
        yield Asked(Subrequests(own, CurrentRequest(Credentials())), daemon)


def test_answers_that_are_too_long_together_are_asked_for_one_by_one(asked: Asked) -> None:
    questions: list[Question] = [("content", b"1/maps"), ("content", b"1/environ")]
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.extend(asked.subrequests.ask(questions)))
    asking.start()
    for expected, reply in (
        (questions, Reply(errno.EFBIG)),
        (questions[:1], Reply(DONE, [b"maps"])),
        (questions[1:], Reply(errno.EFBIG)),
    ):
        assert asked.received() == Answer(expected)
        asked.daemon.send(encode(reply))
    asking.join(10)
    assert answers == [b"maps", errno.EFBIG]


def test_a_thread_that_was_given_up_gets_its_own_answer_and_nobody_else_does(
    asked: Asked,
) -> None:
    first: list[Any] = []
    waiting = threading.Thread(
        target=lambda: first.extend(asked.subrequests.ask([("content", b"1/stat")]))
    )
    waiting.start()
    assert asked.received() == Answer([("content", b"1/stat")])
    refused = asked.subrequests.ask([("content", b"1/comm"), ("link", b"1/exe")])
    assert refused == [errno.EBUSY, errno.EBUSY]
    asked.daemon.send(encode(Reply(DONE, [b"the answer to the first"])))
    waiting.join(10)
    assert first == [b"the answer to the first"]


class Scope:
    """A scope that notes when it begins and ends."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __enter__(self) -> None:
        self.events.append("as the requester")

    def __exit__(self, *_: object) -> None:
        self.events.append("as itself")


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("ended", [False, True])
def test_the_first_thread_is_the_requester_again_unless_the_operation_has_ended(
    monkeypatch: pytest.MonkeyPatch, *, ended: bool
) -> None:
    scope, current = Scope(), CurrentRequest(Credentials())
    monkeypatch.setattr(current, "acting", lambda: scope)
    with current.resting():
        if ended:
            current.end()
    assert scope.events == ["as itself"] + ["as the requester"] * (not ended)
