"""A walk over processes that no read of one of them can block for ever.

A worker that reads one process can simply be killed. A worker that reads all processes for a view
of the whole machine would lose that view because of one process whose memory lock is never
released. So a thread makes the walk, and the thread that waits for it need not act as the requester
meanwhile. If the walking thread stops, it is abandoned: another thread continues from there and
leaves out what may wait. It ends as soon as it looks whether it is still wanted (`go_on`). A worker
in which such a thread still hangs is not used again. A program that uses the library goes on: its
next walks leave out at once what threads still wait for.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from procmirror.identity.errors import error

# The longest step in seconds, and the number of such waits after which every further step gets the
# shorter time.
_STEP_SECONDS, _MOST_LONG_WAITS, _SHORT_STEP_SECONDS = 0.25, 8, 0.02
# A name at which more threads hang is passed over.
_MOST_HUNG = 2
# The number of results that are passed on together.
_BATCH = 64
# The walk that a thread makes.
_own = threading.local()


class _AbandonedError(BaseException):
    """This thread is not wanted any more; no Exception, so that no part of a record catches it."""


def go_on() -> None:
    """End the walk of this thread here if it was abandoned.

    What it has read so far is given back then, which may be megabytes of each of many processes.
    """
    walk: _WalkThread | None = getattr(_own, "walk", None)
    if walk is not None and walk.left:
        raise _AbandonedError


class Hung:
    """The threads that were abandoned by walks over the same processes, and still hang."""

    def __init__(self) -> None:
        self._threads: list[tuple[str, threading.Thread]] = []
        self._lock = threading.Lock()

    def add(self, name: str, thread: threading.Thread) -> None:
        """Note that a thread hangs at a name."""
        with self._lock:
            self._threads.append((name, thread))

    def count(self) -> Counter[str]:
        """How many of them hang at each name."""
        with self._lock:
            self._threads = [one for one in self._threads if one[1].is_alive()]
            return Counter(name for name, _ in self._threads)


class BoundedWalk:
    """Walks over names with a time limit for each.

    The walking threads act as the requester during `acting()`. `given_up` counts the threads that
    still hung when they were abandoned. `refused` has the names at which one hung: for these, what
    may wait is to be left out; `unread` has those at which one hung again: of these nothing is to
    be read. `hung` are the threads of earlier walks, which count as those of this one.
    """

    def __init__(
        self, acting: Callable[[], AbstractContextManager[None]], hung: Hung | None = None
    ) -> None:
        self._acting = acting
        self._hung = hung or Hung()
        self.given_up = 0
        self._long_waits = 0
        before = self._hung.count()
        self.refused = set(before)
        self.unread = {name for name, count in before.items() if count > 1}
        self._lost = {name for name, count in before.items() if count > _MOST_HUNG}

    def walk(self, names: Sequence[str], make: Callable[[str], Any]) -> Iterator[Any]:
        """Yield what `make` returns for each name, in their order, without None.

        A name at which `make` hangs is put into `refused` and made again; if it hangs again, into
        `unread`, and made for the last time. An exception of `make` ends the walk and is raised.
        """
        names = [name for name in names if name not in self._lost] if self._lost else names
        position = 0
        while position < len(names):
            thread = _WalkThread(names, position, make, self._acting)
            try:
                while (results := thread.results(self._step_seconds())) is not None:
                    yield from results
            finally:
                # Also if the caller abandons the walk: a thread that still runs has to be counted.
                position, remaining = thread.leave()
                if not thread.ended(_SHORT_STEP_SECONDS):
                    self.given_up += 1
                    self._hung.add(names[min(position, len(names) - 1)], thread.thread)
            yield from remaining
            if thread.error:
                raise thread.error
            if position < len(names):
                self._long_waits += 1
                position += self._is_given_up(names[position])

    def _is_given_up(self, name: str) -> bool:
        """Note that `make` hung at a name; whether it did so even where it is to read nothing."""
        if name in self.unread:
            return True
        (self.unread if name in self.refused else self.refused).add(name)
        return False

    def _step_seconds(self) -> float:
        return _STEP_SECONDS if self._long_waits < _MOST_LONG_WAITS else _SHORT_STEP_SECONDS


class _WalkThread:
    """A thread that makes the names from a position on until it is abandoned."""

    def __init__(
        self,
        names: Sequence[str],
        position: int,
        make: Callable[[str], Any],
        acting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._acting = acting
        self._names = names
        self._position = position
        self._make = make
        self._seen = position
        self.left = False
        self._made: list[Any] = []
        self._lock = threading.Lock()
        self._ready: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        try:
            self.thread.start()
        except RuntimeError:
            # In a user namespace the RLIMIT_NPROC of its maker counts this process as the maker's.
            raise error(errno.EAGAIN) from None

    def _run(self) -> None:
        _own.walk = self
        try:
            with self._acting():
                self._make_all()
        except _AbandonedError:
            return
        except Exception as error:  # noqa: BLE001 - the walk raises it
            self.error = error
        self._ready.put(None)

    def _make_all(self) -> None:
        for position in range(self._position, len(self._names)):
            made = self._make(self._names[position])
            with self._lock:
                if self.left:
                    return
                self._position = position + 1
                if made is not None:
                    self._made.append(made)
            if not self._position % _BATCH:
                self._ready.put(None)

    def _taken(self) -> list[Any]:
        with self._lock:
            made, self._made = self._made, []
        return made

    def results(self, timeout: float) -> list[Any] | None:
        """The results since the last call; None if the thread is done, has failed, or hangs.

        It hangs if it makes nothing within `timeout` seconds.
        """
        while self._position < len(self._names) and not self.error:
            try:
                self._ready.get(timeout=timeout)
            except queue.Empty:
                if self._position == self._seen:
                    return None
            self._seen = self._position
            return self._taken()
        return None

    def leave(self) -> tuple[int, list[Any]]:
        """Take no further results; returns the position of the thread and its last results."""
        with self._lock:
            self.left = True
            return self._position, self._made

    def ended(self, seconds: float) -> bool:
        """Whether the thread ends within `seconds`."""
        self.thread.join(seconds)
        return not self.thread.is_alive()
