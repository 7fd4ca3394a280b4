"""Reads that may never end, in the middle of a view that has to.

In a thread that is given up when it does not come back.

A worker that reads one process can simply be killed. One that reads all of them for a view of the
whole machine would lose the view with it, because of one process whose memory lock never comes
free. So the walk over them is done by a thread, and whoever waits for it need not be the requester
meanwhile. While it gets on nobody hands anything to and fro; when it does not, it is given up where
it stands, another goes on from there and leaves out what may wait, and the worker, in which the
first one still hangs, is not used again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

# How long one step may take, and how many may take so long before everybody gets the shorter time.
_SECONDS, _MANY, _SHORT = 0.25, 8, 0.02
# How many results are handed over together.
_BATCH = 64


class Patience:
    """Walks over names, each for a bounded time, in threads that are the requester for the length of `acting()`."""

    def __init__(self, acting: Callable[[], AbstractContextManager[None]]) -> None:
        self._acting = acting
        self.given_up = 0
        self._slow = 0
        self.refused: set[str] = set()

    def walk(self, names: Sequence[str], make: Callable[[str], Any]) -> Iterator[Any]:
        """What `make` returns for each name, in their order; an exception of it ends the walk.

        A name that it hangs in is put into `refused` and made again; if it hangs again the name is
        left out.
        """
        at = 0
        while at < len(names):
            lane = _Lane(names, at, make, self._acting)
            try:
                while (
                    some := lane.results(_SECONDS if self._slow < _MANY else _SHORT)
                ) is not None:
                    yield from some
            finally:
                # Also where nobody wants to hear the rest: a thread that is still there must not be
                # taken for none.
                at, left = lane.leave()
                self.given_up += not lane.ended(_SHORT)
            yield from left
            if lane.error:
                raise lane.error
            if at < len(names):
                self._slow += 1
                at += names[at] in self.refused
                self.refused |= set(names[at : at + 1])


class _Lane:
    """One thread on its way through the names."""

    def __init__(
        self,
        names: Sequence[str],
        at: int,
        make: Callable[[str], Any],
        acting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._acting = acting
        self._names = names
        self._at = at
        self._make = make
        self._seen = at
        self._left = False
        self._made: list[Any] = []
        self._lock = threading.Lock()
        self._ready: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._acting():
                self._make_all()
        except Exception as error:  # noqa: BLE001 - whoever walks is told
            self.error = error
        self._ready.put(None)

    def _make_all(self) -> None:
        for at in range(self._at, len(self._names)):
            made = self._make(self._names[at])
            with self._lock:
                if self._left:
                    return
                self._at = at + 1
                if made is not None:
                    self._made.append(made)
            if not self._at % _BATCH:
                self._ready.put(None)

    def _taken(self) -> list[Any]:
        with self._lock:
            made, self._made = self._made, []
        return made

    def results(self, patience: float) -> list[Any] | None:
        """What has been made since; None if it is through, has failed, or hangs."""
        while self._at < len(self._names) and not self.error:
            try:
                self._ready.get(timeout=patience)
            except queue.Empty:
                if self._at == self._seen:
                    return None
            self._seen = self._at
            return self._taken()
        return None

    def leave(self) -> tuple[int, list[Any]]:
        """Want nothing more of it; where it stands, and what it has made that nobody took."""
        with self._lock:
            self._left = True
            return self._at, self._made

    def ended(self, seconds: float) -> bool:
        """Whether nothing is left of it, if need be within some time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()
