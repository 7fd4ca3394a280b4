"""Workers without a process: a socket, and a pipe in the place of the pidfd.

Everything here runs on a clock that goes on by itself when nothing else can happen.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio
import trio.testing

from procmirror.identity.identity import Identity
from procmirror.workers.handle import WorkerHandle
from procmirror.workers.lost import LostWorkers
from procmirror.workers.protocol import Reply, Request, decode_request, encode

# The fake workers of the running test.
_workers: list[FakeWorker] = []


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in trio, with a time of its own that costs none."""
    try:
        trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        while _workers:
            _workers.pop().close()


class FakeWorker:
    """The far end of a worker's socket; it is reaped when the test says so."""

    def __init__(self) -> None:
        near, self.channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(10)
        watch, self._alive = os.pipe()
        self.handle = WorkerHandle(near, watch)
        _workers.append(self)

    def received(self) -> Request:
        """The next request that the daemon has sent."""
        return decode_request(self.channel.recv(1 << 19))

    def answer(self, reply: Reply, descriptor: int | None = None) -> None:
        """Send a reply, with a descriptor that is closed here."""
        socket.send_fds(self.channel, [encode(reply)], [] if descriptor is None else [descriptor])
        if descriptor is not None:
            os.close(descriptor)

    def is_let_go(self) -> bool:
        """Whether the daemon has closed its end of the socket."""
        self.channel.settimeout(0)
        try:
            while self.channel.recv(1 << 19):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def reap(self) -> None:
        """Let the kernel be done with the worker."""
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1

    def end(self) -> None:
        """End by itself, unasked."""
        self.channel.close()
        self.reap()

    def close(self) -> None:
        """Close what the test left open at both ends."""
        self.end()
        if self.handle.channel.fileno() >= 0:
            self.handle.close()


class FakeSpawner:
    """Gives fake workers, and keeps all of them."""

    def __init__(self) -> None:
        self.workers: list[FakeWorker] = []
        self.asked: list[tuple[Identity, dict[str, int]]] = []
        self.refusal: OSError | None = None
        # How long a start takes.
        self.seconds = 0.0
        self.preparation: Reply | None = Reply(0)
        self.introduction = Reply(0)
        self.uses = 0

    def note_use(self) -> None:
        self.uses += 1

    async def spawn(
        self, identity: Identity, namespaces: dict[str, int], label: bytes = b""
    ) -> WorkerHandle:
        """A new fake worker, or the refusal."""
        await trio.sleep(self.seconds)
        if self.refusal:
            raise self.refusal
        self.asked.append((identity, dict(namespaces)))
        self.workers.append(FakeWorker())
        if self.preparation and (label or namespaces):
            self.workers[-1].answer(self.preparation)
        if label and self.preparation:
            self.workers[-1].answer(self.introduction)
        return self.workers[-1].handle


class FakeLost:
    """Counts lost workers by what they were asked about."""

    def __init__(self) -> None:
        self.counted: list[Any] = []

    def cause(self, target: bytes, account: int) -> Any:
        """The target and the account themselves."""
        return target, account

    def add(self, cause: Any) -> None:
        """Count one."""
        self.counted.append(cause)

    def remove(self, cause: Any) -> None:
        """Count one less."""
        self.counted.remove(cause)


def fake_lost() -> tuple[FakeLost, LostWorkers]:
    """One fake, as what it is and as what it stands for."""
    lost = FakeLost()
    return lost, cast("LostWorkers", lost)
