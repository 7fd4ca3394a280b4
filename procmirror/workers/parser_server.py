"""The server of parsers as the fork server holds it: a child that is started when it is asked."""

from __future__ import annotations

import math
import os
import select
import socket
import time
from contextlib import suppress

from procmirror.identity import own_process
from procmirror.workers.children import kept_as_zombies

_RESTART_SECONDS = 1.0


class ParserServer:
    """The process that forks parsers.

    `spawn_requests` is where workers ask it for one. The other end stays open here too, so that a
    question waits for the next server while there is none: the first question starts one, as most
    mounts are never asked for a stack. `channel` is what the fork server is asked through, `own` a
    procfs in which it is `self`.
    """

    def __init__(self, channel: socket.socket, own: int) -> None:
        self.spawn_requests, self._spawner = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self._channel = channel
        self._own = own
        self._pidfd = -1
        # Long ago: the first one need not wait.
        self._started = -math.inf

    def _start(self) -> None:
        self._started = time.monotonic()
        with kept_as_zombies(), suppress(OSError):
            pid = os.fork()
            if pid == 0:
                try:
                    self.spawn_requests.close()
                    self._channel.close()
                    own_process.be_ended_early(self._own, own_process.FIRST)
                    # Here, as it imports all that parses.
                    from procmirror.workers import parser_process  # noqa: PLC0415

                    parser_process.serve(self._spawner)
                finally:
                    os._exit(1)
            self._pidfd = os.pidfd_open(pid)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the fork server is asked for something; start a server when that is asked.

        At most one a second. False if nothing was asked within `seconds`.
        """
        while True:
            poller = select.poll()
            poller.register(self._channel, select.POLLIN)
            early = self._started + _RESTART_SECONDS - time.monotonic()
            if self._pidfd >= 0:
                poller.register(self._pidfd, select.POLLIN)
            elif early <= 0:
                poller.register(self._spawner, select.POLLIN)
            limits = [] if seconds is None else [seconds]
            if self._pidfd < 0 < early:
                limits.append(early)
            ready = dict(poller.poll(1000 * min(limits) if limits else None))
            if self._pidfd in ready:
                os.close(self._pidfd)
                self._pidfd = -1
            if self._spawner.fileno() in ready:
                self._start()
            if self._channel.fileno() in ready:
                return True
            if not ready and seconds is not None:
                return False

    def requests_alone(self) -> socket.socket:
        """`spawn_requests` in a child of the fork server, which keeps nothing else of this."""
        self._spawner.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
        return self.spawn_requests
