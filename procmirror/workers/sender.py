"""What a worker sends to the daemon: signs of progress, growing contents and results."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from procmirror.workers.opened import Opened
from procmirror.workers.protocol import (
    DONE,
    LONG,
    MESSAGE_BYTES,
    PARTIAL,
    PROGRESS,
    SPOOLED,
    Reply,
    encode,
)
from procmirror.workers.spool import Spool

_PROGRESS_SECONDS = 0.5
# The longest answer in bytes that is no content: the table of an index.
_ANSWER_BYTES = 32 << 20


class Sender:
    """The sending side of a worker's socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._spoke = 0.0

    def begin(self) -> None:
        """Measure the time to the first sign of progress from now on."""
        self._spoke = time.monotonic()

    def send(self, reply: Reply) -> None:
        """Send a reply without a descriptor."""
        self._channel.send(encode(reply))

    def progress(self) -> None:
        """Report now and then that the operation still makes progress."""
        now = time.monotonic()
        if now - self._spoke > _PROGRESS_SECONDS:
            self._spoke = now
            self.send(Reply(PROGRESS))

    def partial(self, spool: Spool) -> None:
        """Pass on what a spool holds so far."""
        self._send_spool(spool, Reply(PARTIAL, spool.size))

    def opened(self, opened: Opened[Any], *, retire: bool) -> None:
        """Send an open file, and close it here."""
        message = encode(Reply(DONE, opened.readahead, retire))
        socket.send_fds(self._channel, [message], [opened.number])
        os.close(opened.number)

    def spooled(self, spool: Spool, *, retire: bool) -> None:
        """Send a content that is complete, and close it here."""
        self._send_spool(spool, Reply(SPOOLED, spool.size, retire))
        os.close(spool.number)

    def result(self, result: Any, *, retire: bool, outgrown: Callable[[], bool]) -> None:
        """Send any other result, in a spool if it is long, which makes a worker grow."""
        message = encode(Reply(DONE, result, retire))
        if len(message) < MESSAGE_BYTES - 1024:
            self._channel.send(message)
            return
        if len(message) > _ANSWER_BYTES:
            self.send(Reply(errno.ENFILE, None, retire=True))
            return
        spool = Spool(len(message))
        spool.add([message])
        self._send_spool(spool, Reply(LONG, spool.size, outgrown()))
        os.close(spool.number)

    def _send_spool(self, spool: Spool, reply: Reply) -> None:
        """Report how far a spool has grown; the first report brings its descriptor."""
        socket.send_fds(self._channel, [encode(reply)], [] if spool.sent else [spool.number])
        spool.sent = True
        self._spoke = time.monotonic()
