"""Reads that may never end, in the middle of a view that has to: in a thread that is given up when it does not come back.

A worker that reads one process can simply be killed. One that reads all of them for a view of the whole machine would lose the
view with it, because of one process whose memory lock never comes free. The thread takes over the identity of the thread that
starts it, and dies with the worker, which is not used again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress

# How long one read may take, and how many may take so long before everybody gets the shorter time.
_SECONDS, _MANY, _SHORT = 0.25, 8, 0.02


class Patience:
    """Carries out actions one by one, each for a bounded time."""

    def __init__(self) -> None:
        self.given_up = 0
        self._ask: queue.SimpleQueue[Callable[[], bytes] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bytes | OSError] | None = None

    def result(self, action: Callable[[], bytes]) -> bytes:
        """What `action` returns or raises; TimeoutError if it has not ended in time."""
        if self._answers is None:
            self._start()
        assert self._answers is not None
        self._ask.put(action)
        try:
            answer = self._answers.get(timeout=_SECONDS if self.given_up < _MANY else _SHORT)
        except queue.Empty:
            self.given_up += 1
            self._answers = None
            raise TimeoutError from None
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _start(self) -> None:
        self._ask, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=_serve, args=(self._ask, self._answers), daemon=True).start()

    def end(self) -> None:
        """Let the thread end, if it still can."""
        self._ask.put(None)


def _serve(ask: queue.SimpleQueue[Callable[[], bytes] | None], answers: queue.SimpleQueue[bytes | OSError]) -> None:
    while action := ask.get():
        answer: bytes | OSError = b""
        try:
            answer = action()
        except OSError as refused:
            answer = refused
        with suppress(RuntimeError):
            answers.put(answer)
