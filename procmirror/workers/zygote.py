"""A process that has never seen a request, and forks the fork server whenever one is needed.

The daemon's memory holds what others have read; a fork server that was forked from the daemon would
have a copy of it, and each worker another. What the zygote forks becomes a child of the daemon, as
the process between them ends, and the daemon takes the children of descendants that have ended
(PR_SET_CHILD_SUBREAPER).
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import struct
import time
from typing import NoReturn

from procmirror.identity import own_process
from procmirror.procfs.roots import ProcRoots
from procmirror.workers import forkserver
from procmirror.workers.protocol import make_room

# For so many seconds an answer of the zygote is waited for, and the daemon as a parent.
_ANSWER_SECONDS, _PARENT_SECONDS = 2, 2.0


class Zygote:
    """The zygote as the daemon holds it. It starts with this object, and is never replaced."""

    def __init__(self, roots: ProcRoots) -> None:
        own_process.take_orphans()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        daemon = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._channel.close()
                _serve(theirs, roots, daemon)
            finally:
                os._exit(1)
        theirs.close()
        self._asked = 0
        limit = struct.pack("ll", _ANSWER_SECONDS, 0)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    def fork_server(self) -> tuple[socket.socket, int]:
        """A new fork server: what it is asked through, and its pidfd. OSError without one.

        The answer to an earlier question, which came too late, is passed over: that fork server
        has ended with its socket.
        """
        self._asked = (self._asked + 1) % 256
        question = bytes([self._asked])
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                # Room for a requester with 65,536 groups.
                make_room(ours)
                make_room(theirs)
                socket.send_fds(self._channel, [question], [theirs.fileno()])
            while True:
                answer, watches, _, _ = socket.recv_fds(self._channel, 1, 1)
                if not watches:
                    raise ConnectionError(errno.ECONNRESET, "the zygote is gone")
                if answer == question:
                    return ours, watches[0]
                os.close(watches[0])
        except OSError:
            ours.close()
            raise

    def close(self) -> None:
        """Let it end. What the fork servers leave is no longer taken."""
        self._channel.close()
        own_process.take_orphans(taken=False)


def _serve(channel: socket.socket, roots: ProcRoots, daemon: int) -> NoReturn:
    own_process.close_all_but({0, 1, 2, channel.fileno(), roots.root, roots.own})
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    own_process.die_with_parent()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
        if not message:
            os._exit(0)
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as asked:
                _fork(channel, message, asked, roots, daemon)


def _fork(
    channel: socket.socket, question: bytes, asked: socket.socket, roots: ProcRoots, daemon: int
) -> None:
    """Fork a child that forks the fork server, answers `question` with its pidfd, and ends."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    between = os.getpid()
    server = os.fork()
    if server == 0:
        channel.close()
        _become_child_of(daemon, between)
        forkserver.serve(asked, roots)
    # It cannot end before it has another parent, so the number is its own.
    watch = os.pidfd_open(server)
    socket.send_fds(channel, [question], [watch])
    os._exit(0)


def _become_child_of(daemon: int, between: int) -> None:
    """Wait until the process between this one and the daemon has ended."""
    ends = time.monotonic() + _PARENT_SECONDS
    while os.getppid() == between and time.monotonic() < ends:
        time.sleep(0.0005)
    if os.getppid() != daemon:
        os._exit(1)
