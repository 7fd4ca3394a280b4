"""The server of parsers as the fork server holds it: a child that is started again if it ends."""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress

from procmirror.workers import parser_process
from procmirror.workers.children import kept_as_zombies

_RESTART_SECONDS = 1.0


class ParserServer:
    """The process that forks parsers.

    `spawn_requests` is where workers ask it for one. The other end stays open here too, so that a
    question waits for the next server while there is none. `channel` is what the fork server is
    asked through.
    """

    def __init__(self, channel: socket.socket) -> None:
        self.spawn_requests, self._spawner = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self._channel = channel
        self._pidfd = -1
        self._started = 0.0
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        with kept_as_zombies(), suppress(OSError):
            pid = os.fork()
            if pid == 0:
                try:
                    self.spawn_requests.close()
                    self._channel.close()
                    parser_process.serve(self._spawner)
                finally:
                    os._exit(1)
            self._pidfd = os.pidfd_open(pid)

    def wait(self) -> None:
        """Wait until the fork server is asked for something; meanwhile start a lost server again.

        At most one a second.
        """
        while True:
            poller = select.poll()
            poller.register(self._channel, select.POLLIN)
            if self._pidfd >= 0:
                poller.register(self._pidfd, select.POLLIN)
            ready = dict(poller.poll(None if self._pidfd >= 0 else 1000 * _RESTART_SECONDS))
            if self._pidfd in ready:
                os.close(self._pidfd)
                self._pidfd = -1
            if self._pidfd < 0 and time.monotonic() - self._started > _RESTART_SECONDS:
                self._start()
            if self._channel.fileno() in ready:
                return

    def requests_alone(self) -> socket.socket:
        """`spawn_requests` in a child of the fork server, which keeps nothing else of this."""
        self._spawner.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        return self.spawn_requests
