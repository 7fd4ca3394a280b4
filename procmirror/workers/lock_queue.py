"""The queues for the locks of the targets.

A process can hold its memory lock, or delay an exec, for ever, and every reader then waits in the
kernel. So a lock occupies at most a few workers; further operations queue.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from typing import Self

import trio

from procmirror.decoding.text import decoded, printable
from procmirror.identity.errors import Unanswered
from procmirror.procfs.processes import Process

MOST_IN_FLIGHT = 4
# If no operation on a lock makes progress for so many seconds, no further one is started.
SUSPICIOUS_SECONDS = 0.05
# The timeout in seconds for a lock that timed out within the last REMEMBERED_SECONDS. It is enough
# to notice that the lock is free again, and short enough for a walk over a stuck process to end.
SHORT_TIMEOUT_SECONDS = 0.25
REMEMBERED_SECONDS = 60.0
# For so many seconds after a timeout every operation on the lock is refused at once: the kernel
# sends the lookups in one directory one by one.
REFUSED_SECONDS = 1.0


def lock_in_words(lock: Hashable) -> str:
    """A lock for people: the number of its process and what of it is waited for, `1234/memory`.

    Control characters are escaped.
    """
    if isinstance(lock, tuple):
        return "/".join(map(lock_in_words, lock))
    word = lock.name if isinstance(lock, Process) else lock
    return printable(decoded(word) if isinstance(word, bytes) else str(word))


class LockState:
    """The operations on one lock of one target.

    `in_flight` counts those that run, `queued` those that wait for their turn, `unreaped` the
    killed workers that have not ended, `stuck` those of them that waited for a source that further
    operations leave out. `since` is the time of the last sign of progress (trio's
    clock); `timeout` is the longest silence of an operation in seconds. `excused` are the seconds
    in which workers started, or waited for a processor.
    """

    __slots__ = (
        "_changed",
        "excused",
        "in_flight",
        "lock",
        "queued",
        "since",
        "stuck",
        "timeout",
        "unreaped",
    )

    def __init__(self, lock: Hashable, timeout: float) -> None:
        self.lock = lock
        self.timeout = timeout
        self.in_flight = 0
        self.queued = 0
        self.unreaped = 0
        self.stuck = 0
        self.since = 0.0
        self.excused = 0.0
        # Made by the first operation that waits.
        self._changed: trio.Event | None = None

    def begin(self) -> None:
        """Count one more operation in flight."""
        if not self.in_flight:
            self.progressed()
        self.in_flight += 1

    def progressed(self) -> None:
        """Note that an operation makes progress."""
        self.since = trio.current_time()

    def is_full(self) -> bool:
        """Whether one more operation would have to wait."""
        suspicious = trio.current_time() - self.since > SUSPICIOUS_SECONDS
        return self.in_flight >= MOST_IN_FLIGHT or (self.in_flight > 0 and suspicious)

    def wake(self) -> None:
        """Let the queued operations check again."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def change(self) -> None:
        """Wait until one of the counts falls."""
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()


class InFlight:
    """The scope of an operation in flight, which another task can end: see `handed_over`."""

    __slots__ = ("_queue", "_remember", "_state")

    def __init__(self, queue: LockQueue, state: LockState, *, remember: bool) -> None:
        self._queue = queue
        self._state: LockState | None = state
        self._remember = remember

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, _trace: object) -> None:
        if self._state:
            self._queue.leave(self._state, error, remember=self._remember)

    def handed_over(self) -> InFlight:
        """This scope for another task; this object does nothing at its end any more."""
        assert self._state
        taken, self._state = InFlight(self._queue, self._state, remember=self._remember), None
        return taken


class LockQueue:
    """All locks on which there are operations; `timeout` is the configured one, in seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._states: dict[Hashable, LockState] = {}
        self._timed_out: dict[Hashable, float] = {}

    async def enter(self, lock: Hashable) -> LockState:
        """Queue behind the operations on a lock, then count one more; None is no lock.

        Unanswered(EBUSY) if the lock timed out a moment ago or a killed worker still hangs in it.
        Unanswered(ETIMEDOUT) if the turn does not come within the timeout. The caller then has to
        use `in_flight` without a checkpoint in between.
        """
        if lock is None:
            unshared = LockState(None, self.timeout)
            unshared.begin()
            return unshared
        if self._timed_out and self._since_timeout(lock) < REFUSED_SECONDS:
            raise Unanswered(errno.EBUSY, "it did not answer a moment ago")
        if lock not in self._states:
            self._states[lock] = LockState(lock, self.timeout)
        state = self._states[lock]
        if state.unreaped or (state.in_flight and state.is_full()):
            await self._queue(state)
        state.begin()
        state.timeout = self._timeout_of(lock)
        return state

    async def _queue(self, state: LockState) -> None:
        state.queued += 1
        try:
            with trio.move_on_after(self.timeout):
                while state.is_full() and not state.unreaped:
                    await state.change()
        finally:
            state.queued -= 1
            self._drop_unused(state)
        if state.unreaped:
            raise Unanswered(errno.EBUSY, "its last reader still waits")
        if state.is_full():
            raise Unanswered(errno.ETIMEDOUT, "others wait for the same")
        self._states[state.lock] = state

    def in_flight(self, state: LockState, *, remember: bool) -> InFlight:
        """A scope for an operation that has entered; with `remember`, a timeout marks the lock."""
        return InFlight(self, state, remember=remember)

    def leave(self, state: LockState, error: BaseException | None, *, remember: bool) -> None:
        """Count one operation in flight fewer, which ended with an error or without."""
        if (
            isinstance(error, Unanswered)
            and error.errno == errno.ETIMEDOUT
            and remember
            and state.lock is not None
        ):
            self._timed_out[state.lock] = trio.current_time()
        state.in_flight -= 1
        if state.in_flight or state.queued:
            state.progressed()
            state.wake()
        self._drop_unused(state)

    def hung(self, state: LockState) -> Callable[[], None]:
        """Count a killed worker that may hang in the lock; call the result once it is reaped."""
        state.unreaped += 1

        def reaped() -> None:
            state.unreaped -= 1
            state.wake()
            self._drop_unused(state)

        return reaped

    def left_out(self, state: LockState) -> Callable[[], None]:
        """Count a killed worker that hangs in a source that is left out: it delays nobody."""
        state.stuck += 1

        def reaped() -> None:
            state.stuck -= 1
            self._drop_unused(state)

        return reaped

    def _timeout_of(self, lock: Hashable) -> float:
        """The timeout for an operation on a lock, in seconds.

        It is short if the lock timed out recently, or if the memory lock of the same target did,
        which a view may need too.
        """
        if not self._timed_out:
            return self.timeout
        memory = (lock[0], "memory") if isinstance(lock, tuple) else None
        recently = min(self._since_timeout(lock), self._since_timeout(memory)) < REMEMBERED_SECONDS
        return SHORT_TIMEOUT_SECONDS if recently else self.timeout

    def is_waited_for(self, lock: Hashable) -> bool:
        """Whether an operation on a lock is in flight, or timed out lately."""
        return lock in self._states or lock in self._timed_out

    def slow(self) -> list[Hashable]:
        """The locks that somebody waits for, and those that were waited for in vain recently."""
        waited = [
            lock
            for lock, state in self._states.items()
            if state.queued or state.unreaped or state.stuck
        ]
        return list(dict.fromkeys((*waited, *self._timed_out)))

    def forget_old(self) -> None:
        """Forget timeouts that shorten no wait any more."""
        self._timed_out = {
            lock: at
            for lock, at in self._timed_out.items()
            if self._since_timeout(lock) < REMEMBERED_SECONDS
        }

    def _since_timeout(self, lock: Hashable) -> float:
        return trio.current_time() - self._timed_out.get(lock, -REMEMBERED_SECONDS)

    def _drop_unused(self, state: LockState) -> None:
        unused = not (state.in_flight or state.queued or state.unreaped or state.stuck)
        if unused and self._states.get(state.lock) is state:
            del self._states[state.lock]
