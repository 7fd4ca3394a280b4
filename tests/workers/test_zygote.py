"""The daemon gets the fork server that it has just asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procmirror.workers import zygote
from procmirror.workers.zygote import Zygote


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Zygote, socket.socket]]:
    """A zygote whose far end is the test's, which waits for an answer for a moment."""
    monkeypatch.setattr(os, "fork", lambda: 1)
    monkeypatch.setattr("procmirror.identity.own_process.take_orphans", lambda **_: None)
    monkeypatch.setattr(zygote, "_ANSWER_SECONDS", 0)
    near, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    copy = theirs.dup()
    pairs = iter([(near, theirs)])
    made = socket.socketpair
    monkeypatch.setattr(socket, "socketpair", lambda *kind: next(pairs, None) or made(*kind))
    roots: Any = None
    found = Zygote(roots)
    near.settimeout(0.05)
    with copy:
        yield found, copy
    found.close()


def answer(far: socket.socket, question: bytes, path: Path) -> None:
    """Answer with a file in the place of a pidfd."""
    descriptor = os.open(path, os.O_RDONLY)
    socket.send_fds(far, [question], [descriptor])
    os.close(descriptor)


def test_the_late_answer_to_an_earlier_question_is_passed_over(
    far: tuple[Zygote, socket.socket], tmp_path: Path
) -> None:
    asked, channel = far
    for name in ("first", "second"):
        (tmp_path / name).touch()
    with pytest.raises(OSError, match="timed out"):
        asked.fork_server()
    first = channel.recv(1)
    answer(channel, first, tmp_path / "first")
    answer(channel, bytes([first[0] + 1]), tmp_path / "second")
    ours, watch = asked.fork_server()
    with ours:
        assert os.readlink(f"/proc/self/fd/{watch}") == str(tmp_path / "second")
    os.close(watch)


def test_a_zygote_that_has_ended_is_an_error(far: tuple[Zygote, socket.socket]) -> None:
    asked, channel = far
    channel.close()
    with pytest.raises(OSError, match="Broken pipe"):
        asked.fork_server()
