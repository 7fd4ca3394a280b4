"""Questions about this process, asked by another: the kernel never asks whether a process may look at itself."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from procmirror import linux

Questions = Mapping[str, Callable[[int, bytes], Any]]


class Stranger:
    """A child that acts as this thread does and answers `questions` about a path below a directory descriptor."""

    def __init__(self, questions: Questions) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        if os.fork() == 0:
            try:
                self._channel.close()
                linux.die_with_parent()
                _answer(theirs, questions)
            finally:
                os._exit(0)
        theirs.close()

    def ask(self, question: str, directory: int, path: bytes) -> Any:
        """What the question comes to there; OSError as it was raised there."""
        _send(self._channel, (question, directory, path))
        message = _received(self._channel)
        code, result = msgspec.msgpack.decode(message) if message else (errno.EIO, None)
        if code:
            raise OSError(code, os.strerror(code))
        return result

    def close(self) -> None:
        """Let it end."""
        self._channel.close()


def _send(channel: socket.socket, message: object) -> None:
    encoded = msgspec.msgpack.encode(message)
    channel.sendall(len(encoded).to_bytes(4, "big") + encoded)


def _received(channel: socket.socket) -> bytes:
    """A message; empty at the end."""
    size = int.from_bytes(channel.recv(4, socket.MSG_WAITALL), "big")
    return channel.recv(size, socket.MSG_WAITALL) if size else b""


def _answer(channel: socket.socket, questions: Questions) -> None:
    while message := _received(channel):
        question, directory, path = msgspec.msgpack.decode(message)
        try:
            _send(channel, (0, questions[question](directory, path)))
        except OSError as refused:
            _send(channel, (refused.errno or errno.EIO, None))
