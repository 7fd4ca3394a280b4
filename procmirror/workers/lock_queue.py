"""The queues for the locks of the targets.

A process can hold its memory lock, or delay an exec, for ever, and every reader then waits in the
kernel. So a lock occupies at most a few workers; further operations queue. One account leaves a
place to others, and the accounts whose operations queue take turns.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from typing import Self

import trio

from procmirror.decoding.text import decoded, printable
from procmirror.identity.errors import Unanswered
from procmirror.procfs.processes import Process
from procmirror.workers.lock_state import Lock, LockState

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


class Slow(Unanswered):
    """A worker has not answered in time though it could run: it waits for no lock."""

    def __init__(self, reason: str = "no answer in time") -> None:
        super().__init__(errno.ETIMEDOUT, reason)


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
        state, self._state = self._state, None
        return InFlight(self._queue, state, remember=self._remember)


class LockQueue:
    """All locks on which there are operations; `timeout` is the configured one, in seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._locks: dict[Hashable, Lock] = {}
        # When a lock timed out, by it and the account for which it did; None is for all.
        self._timed_out: dict[tuple[Hashable, int | None], float] = {}

    async def enter(self, lock: Hashable, account: int) -> LockState:
        """Queue for a lock, then count one more operation of an account; None is no lock.

        Unanswered(EBUSY) if the lock timed out a moment ago or a killed worker still hangs in it.
        Unanswered(ETIMEDOUT) if the turn does not come within the timeout. The caller then has to
        use `in_flight` without a checkpoint in between.
        """
        if lock is None:
            unshared = Lock(None).state_of(account, self.timeout)
            unshared.begin()
            return unshared
        if self._timed_out and self._since_timeout(lock, account) < REFUSED_SECONDS:
            raise Unanswered(errno.EBUSY, "it did not answer a moment ago")
        if lock not in self._locks:
            self._locks[lock] = Lock(lock)
        known = self._locks[lock]
        state = known.state_of(account, self.timeout)
        if known.must_wait(state):
            await self._queue(state)
        else:
            state.begin()
        state.timeout = self._timeout_of(lock, account)
        return state

    async def _queue(self, state: LockState) -> None:
        """Wait for a turn, with which the operation counts as in flight."""
        known = state.of_all
        turn = known.queue(state.account)
        if known.unreaped:
            known.give_turns()
        try:
            with trio.move_on_after(self.timeout):
                await turn.begun.wait()
        except trio.Cancelled as cancelled:
            if turn.given:
                self.leave(state, cancelled, remember=False)
            raise
        finally:
            if not turn.given:
                known.drop(state.account, turn)
                self._drop_unused(known)
        if turn.given:
            return
        if known.unreaped:
            raise Unanswered(errno.EBUSY, "its last reader still waits")
        raise Unanswered(errno.ETIMEDOUT, "others wait for the same")

    def in_flight(self, state: LockState, *, remember: bool) -> InFlight:
        """A scope for an operation that has entered; with `remember`, a timeout marks the lock."""
        return InFlight(self, state, remember=remember)

    def leave(self, state: LockState, error: BaseException | None, *, remember: bool) -> None:
        """Count one operation in flight fewer, which ended with an error or without.

        A worker has little of the processor where its account keeps it busy: what is slow says
        nothing to others.
        """
        if (
            isinstance(error, Unanswered)
            and error.errno == errno.ETIMEDOUT
            and remember
            and state.lock is not None
        ):
            of = state.account if isinstance(error, Slow) else None
            self._timed_out[state.lock, of] = trio.current_time()
        state.end()
        if state.in_flight:
            state.progressed()
        state.of_all.give_turns()
        self._drop_unused(state.of_all)

    def hung(self, state: LockState) -> Callable[[], None]:
        """Count a killed worker that may hang in the lock; call the result once it is reaped."""
        known = state.of_all
        known.unreaped += 1

        def reaped() -> None:
            known.unreaped -= 1
            known.give_turns()
            self._drop_unused(known)

        return reaped

    def left_out(self, state: LockState) -> Callable[[], None]:
        """Count a killed worker that hangs in a source that is left out: it delays nobody."""
        known = state.of_all
        known.stuck += 1

        def reaped() -> None:
            known.stuck -= 1
            self._drop_unused(known)

        return reaped

    def _timeout_of(self, lock: Hashable, account: int) -> float:
        """The timeout for an operation on a lock, in seconds.

        It is short if the lock timed out recently, or if the memory lock of the same target did,
        which a view may need too.
        """
        if not self._timed_out:
            return self.timeout
        memory = (lock[0], "memory") if isinstance(lock, tuple) else None
        since = min(self._since_timeout(one, account) for one in (lock, memory))
        return SHORT_TIMEOUT_SECONDS if since < REMEMBERED_SECONDS else self.timeout

    def is_waited_for(self, lock: Hashable, account: int) -> bool:
        """Whether an operation on a lock is in flight, or timed out lately for an account."""
        if lock in self._locks:
            return True
        return bool(self._timed_out) and self._since_timeout(lock, account) < REMEMBERED_SECONDS

    def slow(self) -> list[Hashable]:
        """The locks that somebody waits for, and those that were waited for in vain recently."""
        waited = [
            lock
            for lock, known in self._locks.items()
            if known.queued or known.unreaped or known.stuck
        ]
        return list(dict.fromkeys((*waited, *(lock for lock, _ in self._timed_out))))

    def forget_old(self) -> None:
        """Forget timeouts that shorten no wait any more."""
        earliest = trio.current_time() - REMEMBERED_SECONDS
        self._timed_out = {one: at for one, at in self._timed_out.items() if at > earliest}

    def _since_timeout(self, lock: Hashable, account: int) -> float:
        never = -REMEMBERED_SECONDS
        last = max(self._timed_out.get((lock, one), never) for one in (account, None))
        return trio.current_time() - last

    def _drop_unused(self, known: Lock) -> None:
        if known.is_unused and self._locks.get(known.key) is known:
            del self._locks[known.key]
