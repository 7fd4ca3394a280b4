"""A requester as a child process.

It takes on its identity, then does what it is told and sends back what it saw.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from tests.harness import ROOT
from tests.permissions.operations import Answer, Item, Outcome

BATCH = 200

T = TypeVar("T")


class World(msgspec.Struct, frozen=True):
    """What a requester must know to become what it is: the processes of the targets, by name.

    `within` is what stands before its command where it is to be started in another place than this
    one.
    """

    targets: Mapping[str, int] = {}
    within: Sequence[str] = ()


NOBODY = World()


class EndedError(RuntimeError):
    """A requester ended where an answer was expected."""


def send(descriptor: int, message: object) -> None:
    """One message with its length before it."""
    raw = msgspec.msgpack.encode(message)
    unsent = memoryview(struct.pack("I", len(raw)) + raw)
    while unsent:
        unsent = unsent[os.write(descriptor, unsent) :]


def receive(descriptor: int, kind: type[T]) -> T | None:
    """The next message; None where the other side has closed."""
    head = _exactly(descriptor, 4)
    return (
        msgspec.msgpack.decode(_exactly(descriptor, struct.unpack("I", head)[0]), type=kind)
        if head
        else None
    )


def _exactly(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = os.read(descriptor, size)
        if not part:
            return b""
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Session:
    """A running requester."""

    def __init__(self, requester: str, world: World = NOBODY) -> None:
        command = [*world.within, sys.executable, "-m", "tests.permissions.requesters", requester]
        self.requester = requester
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._to, self._from = self.process.stdin.fileno(), self.process.stdout.fileno()
        send(self._to, world)
        pid = receive(self._from, int)
        if pid is None:
            self.close()
            raise EndedError(f"{requester} did not become what it should be")
        self.pid = pid

    def ask(self, items: Sequence[Item]) -> Iterator[tuple[Item, Outcome]]:
        """Each item with its outcome, in their order."""
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            send(self._to, batch)
            outcomes = receive(self._from, list[Outcome])
            if outcomes is None:
                code = self.process.wait(20)
                raise EndedError(f"{self.requester} ended with {code} after {batch[0]}")
            yield from zip(batch, outcomes, strict=True)

    def once_more(self, item: Item) -> Outcome:
        """One item; between the items of `ask`, too, of which all of a batch are answered then."""
        ((_, outcome),) = self.ask([item])
        return outcome

    def one(self, operation: str, path: str, argument: int = 0) -> Answer:
        """The answer of one path to one operation."""
        outcome = self.once_more(Item(path, path, operation, argument))
        return outcome.after or outcome.before

    def close(self) -> None:
        """End the requester by closing what it listens to."""
        with self.process:
            pass


@contextlib.contextmanager
def session(requester: str, world: World = NOBODY) -> Iterator[Session]:
    """A requester for the time of a block."""
    running = Session(requester, world)
    try:
        yield running
    finally:
        running.close()
