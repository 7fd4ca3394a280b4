"""The request that a worker carries out at the moment, and acting as its requester."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from procmirror.identity import own_process
from procmirror.identity.credentials import Credentials
from procmirror.procfs.peer import Question
from procmirror.workers.protocol import (
    MESSAGE_BYTES,
    SUBREQUEST,
    Reply,
    Request,
    decode_reply,
    encode,
)
from procmirror.workers.view_operations import Answer


class CurrentRequest:
    """The request that the first thread of a worker carries out.

    `whole`: the effective user id is the requester's too, see `Credentials.acting_as`.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.request = Request(Answer([]), credentials.rest)
        self.whole = False
        self._credentials = credentials
        self._ended = 0

    def begin(self, request: Request, *, whole: bool) -> None:
        """Carry out this request from now on."""
        self.request, self.whole = request, whole

    def end(self) -> None:
        """Have nothing more done by the first thread as the requester."""
        self._ended += 1

    def acting(self) -> AbstractContextManager[None]:
        """A scope in which a thread acts as the requester."""
        request = self.request
        return self._credentials.acting_as(
            request.identity, request.self_capabilities, whole=self.whole
        )

    @contextmanager
    def resting(self) -> Iterator[None]:
        """A part of that scope in which the first thread has its own identity.

        At its end the thread acts as the requester again, unless the operation has ended.
        """
        scope, ended = self.acting(), self._ended
        scope.__exit__(None, None, None)
        own_process.die_with_parent()
        try:
            yield
        finally:
            if ended == self._ended:
                scope.__enter__()
                own_process.die_with_parent()


class Subrequests:
    """Questions about this worker's own process, which another worker answers."""

    def __init__(self, channel: socket.socket, current: CurrentRequest) -> None:
        self._channel = channel
        self._current = current
        self._first = threading.get_ident()
        self._asking = threading.Lock()

    def ask(self, questions: Sequence[Question]) -> Sequence[Any]:
        """Have another worker answer questions, as the present requester."""
        # An abandoned thread may still wait for its answer, which must not be taken for that to
        # another question.
        if not self._asking.acquire(blocking=False):
            return [errno.EBUSY] * len(questions)
        first = threading.get_ident() == self._first
        try:
            request = Request(Answer(list(questions)), self._current.request.identity)
            with self._current.resting() if first else nullcontext():
                self._channel.send(encode(Reply(SUBREQUEST, encode(request))))
                message = self._channel.recv(MESSAGE_BYTES)
        finally:
            self._asking.release()
        reply = decode_reply(message) if message else Reply(errno.EIO)
        if reply.code == errno.EFBIG and len(questions) > 1:
            return [self.ask([question])[0] for question in questions]
        return [reply.code] * len(questions) if reply.code else list(reply.result)
