"""Readers.

Processes that carry out file operations, each with its time, so that whoever waits for ever is not
the test.

As a program (`python -m tests.reliability.readers`) it takes jobs as JSON on stdin, runs each in a
child of its own, and answers in JSON when all are done or the limit is over; a child that is not
done by then is killed and has no answers.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.harness import ROOT, load

CHUNK = 1 << 17
# For files without an end, such as mem: what an answer is worth is known by then.
ENOUGH = 1 << 25
_PR_SET_DUMPABLE = 4

Step = tuple[str, str, int]


class Answer(NamedTuple):
    """How one step ended: the errno's name or nothing, its seconds, and bytes or names counted."""

    error: str
    seconds: float
    amount: int


class Job(NamedTuple):
    """Steps that one process takes one after the other, as a user."""

    steps: list[Step]
    user: int = 0


def read(path: object) -> Step:
    """Open and read to the end."""
    return ("read", str(path), 0)


def piece(path: object, offset: int) -> Step:
    """Open and read 16 bytes at an offset."""
    return ("piece", str(path), offset)


def names(path: object) -> Step:
    """List a directory."""
    return ("names", str(path), 0)


def attributes(path: object) -> Step:
    """Ask for the attributes, of a link itself."""
    return ("attributes", str(path), 0)


def put(path: object, number: int) -> Step:
    """Write a number."""
    return ("put", str(path), number)


class Readers:
    """Jobs under way."""

    def __init__(self, jobs: Sequence[Job], limit: float = 30.0) -> None:
        # A loaded machine needs longer, for the start of the readers too.
        self._limit = limit * load()
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.readers"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._program.stdin
        self._program.stdin.write(json.dumps([self._limit, jobs]).encode())
        self._program.stdin.close()
        self._program.stdin = None

    def answers(self) -> list[list[Answer] | None]:
        """The answers of each job; None where it did not end."""
        try:
            said, _ = self._program.communicate(timeout=self._limit + 15 * load())
        finally:
            self._program.kill()
        return [
            None if job is None else [Answer(*answer) for answer in job] for job in json.loads(said)
        ]

    def kill(self) -> None:
        """End them all, in the middle of what they do."""
        self._program.send_signal(signal.SIGTERM)
        self._program.communicate(timeout=30)


def ask(jobs: Sequence[Job], limit: float = 30.0) -> list[list[Answer]]:
    """The answers of jobs that all have to end by themselves."""
    answers = Readers(jobs, limit).answers()
    unended = [job.steps[0] for job, answer in zip(jobs, answers, strict=True) if answer is None]
    assert not unended, f"still waiting after {limit} s: {unended}"
    return [answer for answer in answers if answer is not None]


def _read(path: str, _: int) -> int:
    file = os.open(path, os.O_RDONLY)
    try:
        amount = 0
        while (got := len(os.read(file, CHUNK))) and amount < ENOUGH:
            amount += got
        return amount
    finally:
        os.close(file)


def _piece(path: str, offset: int) -> int:
    file = os.open(path, os.O_RDONLY)
    try:
        return len(os.pread(file, 16, offset))
    finally:
        os.close(file)


def _put(path: str, number: int) -> int:
    file = os.open(path, os.O_WRONLY)
    try:
        return os.write(file, b"%d" % number)
    finally:
        os.close(file)


_STEPS: dict[str, Callable[[str, int], int]] = {
    "read": _read,
    "piece": _piece,
    "put": _put,
    "names": lambda path, _: len(os.listdir(path)),
    "attributes": lambda path, _: os.lstat(path).st_mode,
}


def _answer(verb: str, path: str, offset: int) -> Answer:
    start = time.monotonic()
    error, amount = "", 0
    try:
        amount = _STEPS[verb](path, offset)
    except OSError as refused:
        error = errno.errorcode[refused.errno or errno.EIO]
    return Answer(error, time.monotonic() - start, amount)


def _child(user: int, steps: Sequence[Step]) -> tuple[int, int]:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, ours
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for standard in (0, 1, ours):
        os.close(standard)
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1)
    said = json.dumps([_answer(*step) for step in steps]).encode()
    while said:
        said = said[os.write(theirs, said) :]
    os._exit(0)


def _main() -> None:
    limit, jobs = json.load(sys.stdin)
    children = [_child(user, steps) for steps, user in jobs]

    def end(*_: object) -> None:
        for pid, _pipe in children:
            os.kill(pid, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    said: dict[int, bytes] = {pipe: b"" for _, pipe in children}
    done: dict[int, Any] = {}
    selector = selectors.DefaultSelector()
    for pipe in said:
        selector.register(pipe, selectors.EVENT_READ)
    deadline = time.monotonic() + limit
    while len(done) < len(said) and time.monotonic() < deadline:
        for key, _mask in selector.select(0.2):
            if more := os.read(key.fd, 1 << 16):
                said[key.fd] += more
            else:
                selector.unregister(key.fd)
                done[key.fd] = json.loads(said[key.fd]) if said[key.fd] else None
    for pid, pipe in children:
        if pipe not in done:
            os.kill(pid, signal.SIGKILL)
    sys.stdout.write(json.dumps([done.get(pipe) for _, pipe in children]))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
