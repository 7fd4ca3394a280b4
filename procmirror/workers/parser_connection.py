"""A parser as a worker holds it: its socket, and its pidfd to end it."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress

from procmirror.workers.parsing import Channel

_START_SECONDS = 2.0

ENDED = "the process that parses programs ended: frames are missing"
TIMED_OUT = "the process that parses programs took too long: frames are missing"
NONE = "no process that parses programs: frames are missing"


class ParserLost(Exception):
    """A parser gives no answer; the text is the reason."""


class Connection:
    """A parser as a worker holds it."""

    def __init__(self, spawn_requests: socket.socket) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = Channel(ours)
        self.pidfd = -1
        try:
            with theirs:
                _ask(spawn_requests, theirs)
        except OSError as refused:
            self.channel.close()
            raise ParserLost(NONE) from refused
        self.channel.limit(_START_SECONDS)
        try:
            _, watches = self.channel.spawned()
        except OSError as late:
            self.close()
            raise ParserLost(NONE) from late
        if not watches:
            self.close()
            raise ParserLost(NONE)
        self.pidfd = watches[0]

    def close(self) -> None:
        """End the parser, also one that computes for ever."""
        self.channel.close()
        if self.pidfd >= 0:
            # It ended by itself if that fails; the filter keeps it from being another's.
            with suppress(OSError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.close(self.pidfd)
            self.pidfd = -1


def _ask(spawn_requests: socket.socket, theirs: socket.socket) -> None:
    """Ask the server for a parser at the other end of a socket, which ends with this process."""
    itself = os.pidfd_open(os.getpid())
    try:
        beside = [theirs.fileno(), itself]
        socket.send_fds(spawn_requests, [bytes([_own_nice()])], beside)
    finally:
        os.close(itself)


def _own_nice() -> int:
    """The nice value of this worker, which its parsers share."""
    return max(0, os.getpriority(os.PRIO_PROCESS, 0))
