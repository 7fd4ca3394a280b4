"""The queues for the locks of the targets.

A process can hold its memory lock, or delay an exec, for ever, and every reader then waits in the
kernel. So a lock occupies at most a few workers; further operations queue. One account leaves a
place to others, and the accounts whose operations queue take turns.
"""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Self

import trio

from procmirror.decoding.text import decoded, printable
from procmirror.identity.errors import Unanswered
from procmirror.procfs.processes import Process

MOST_IN_FLIGHT, MOST_OF_ACCOUNT = 4, 3
# If no operation on a lock makes progress for so many seconds, no further one is started by an
# account that has one.
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

    `unreaped` counts the killed workers that have not ended, `stuck` those of them that waited for
    a source that further operations leave out. `since` is the time of the last sign of progress
    (trio's clock); `timeout` is the longest silence of an operation in seconds. `excused` are the
    seconds in which workers started, or waited for a processor.
    """

    __slots__ = (
        "_of_account",
        "_turns",
        "excused",
        "lock",
        "since",
        "stuck",
        "timeout",
        "unreaped",
    )

    def __init__(self, lock: Hashable, timeout: float) -> None:
        self.lock = lock
        self.timeout = timeout
        self.unreaped = 0
        self.stuck = 0
        self.since = 0.0
        self.excused = 0.0
        # The operations in flight, and the turns of those that queue, by account. The account that
        # has the next turn is the first.
        self._of_account = Counter[int]()
        self._turns: dict[int, deque[_Turn]] = {}

    @property
    def in_flight(self) -> int:
        """The number of operations that run."""
        return self._of_account.total()

    @property
    def queued(self) -> int:
        """The number of operations that wait for their turn."""
        return sum(map(len, self._turns.values()))

    def begin(self, account: int) -> None:
        """Count one more operation of an account in flight."""
        if not self._of_account:
            self.since = trio.current_time()
        self._of_account[account] += 1

    def end(self, account: int) -> None:
        """Count one fewer."""
        self._of_account[account] -= 1
        if not self._of_account[account]:
            del self._of_account[account]

    def progressed(self) -> None:
        """Note that an operation makes progress, and so the lock is not held for ever."""
        self.since = trio.current_time()
        if self._turns:
            self.give_turns()

    def is_full(self, account: int) -> bool:
        """Whether one more operation of an account would have to wait."""
        own = self._of_account[account]
        if not own:
            return self.in_flight >= MOST_IN_FLIGHT
        suspicious = trio.current_time() - self.since > SUSPICIOUS_SECONDS
        return suspicious or own >= MOST_OF_ACCOUNT or self.in_flight >= MOST_IN_FLIGHT

    def must_wait(self, account: int) -> bool:
        """Whether an operation of an account has to queue, behind others of it."""
        return self.unreaped > 0 or account in self._turns or self.is_full(account)

    def give_turns(self) -> None:
        """Begin operations that queue as long as there is room, one of each account in turn."""
        given = True
        while given:
            given = False
            for account in tuple(self._turns):
                if not self.unreaped and self.is_full(account):
                    continue
                turn, given = self._next(account), True
                if not self.unreaped:
                    self.begin(account)
                    turn.given = True
                turn.begun.set()

    def _next(self, account: int) -> _Turn:
        """Take the first turn of an account, which has the next one after all others."""
        turns = self._turns.pop(account)
        turn = turns.popleft()
        if turns:
            self._turns[account] = turns
        return turn

    def queue(self, account: int) -> _Turn:
        """A turn behind all others of an account."""
        turn = _Turn()
        self._turns.setdefault(account, deque()).append(turn)
        return turn

    def drop(self, account: int, turn: _Turn) -> None:
        """Forget a turn that is not waited for any more."""
        turns = self._turns.get(account)
        if turns and turn in turns:
            turns.remove(turn)
            if not turns:
                del self._turns[account]


class _Turn:
    """One operation that queues: `given` says that it counts as in flight when `begun` is set."""

    __slots__ = ("begun", "given")

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.given = False


class Slow(Unanswered):
    """A worker has not answered in time though it could run: it waits for no lock."""

    def __init__(self) -> None:
        super().__init__(errno.ETIMEDOUT, "no answer in time")


class InFlight:
    """The scope of an operation in flight, which another task can end: see `handed_over`."""

    __slots__ = ("_account", "_queue", "_remember", "_state")

    def __init__(self, queue: LockQueue, state: LockState, account: int, *, remember: bool) -> None:
        self._queue = queue
        self._state: LockState | None = state
        self._account = account
        self._remember = remember

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, _trace: object) -> None:
        if self._state:
            self._queue.leave(self._state, self._account, error, remember=self._remember)

    def handed_over(self) -> InFlight:
        """This scope for another task; this object does nothing at its end any more."""
        assert self._state
        state, self._state = self._state, None
        return InFlight(self._queue, state, self._account, remember=self._remember)


class LockQueue:
    """All locks on which there are operations; `timeout` is the configured one, in seconds."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._states: dict[Hashable, LockState] = {}
        # When a lock timed out, by it and the account for which it did; None is for all.
        self._timed_out: dict[tuple[Hashable, int | None], float] = {}

    async def enter(self, lock: Hashable, account: int) -> LockState:
        """Queue for a lock, then count one more operation of an account; None is no lock.

        Unanswered(EBUSY) if the lock timed out a moment ago or a killed worker still hangs in it.
        Unanswered(ETIMEDOUT) if the turn does not come within the timeout. The caller then has to
        use `in_flight` without a checkpoint in between.
        """
        if lock is None:
            unshared = LockState(None, self.timeout)
            unshared.begin(account)
            return unshared
        if self._timed_out and self._since_timeout(lock, account) < REFUSED_SECONDS:
            raise Unanswered(errno.EBUSY, "it did not answer a moment ago")
        if lock not in self._states:
            self._states[lock] = LockState(lock, self.timeout)
        state = self._states[lock]
        if state.must_wait(account):
            await self._queue(state, account)
        else:
            state.begin(account)
        state.timeout = self._timeout_of(lock, account)
        return state

    async def _queue(self, state: LockState, account: int) -> None:
        """Wait for a turn, with which the operation counts as in flight."""
        if not state.unreaped:
            turn = state.queue(account)
            try:
                with trio.move_on_after(self.timeout):
                    await turn.begun.wait()
            except trio.Cancelled as cancelled:
                if turn.given:
                    self.leave(state, account, cancelled, remember=False)
                raise
            finally:
                state.drop(account, turn)
                self._drop_unused(state)
            if turn.given:
                return
        if state.unreaped:
            raise Unanswered(errno.EBUSY, "its last reader still waits")
        raise Unanswered(errno.ETIMEDOUT, "others wait for the same")

    def in_flight(self, state: LockState, account: int, *, remember: bool) -> InFlight:
        """A scope for an operation that has entered; with `remember`, a timeout marks the lock."""
        return InFlight(self, state, account, remember=remember)

    def leave(
        self, state: LockState, account: int, error: BaseException | None, *, remember: bool
    ) -> None:
        """Count one operation of an account fewer, which ended with an error or without.

        A worker has little of the processor where its account keeps it busy: what is slow says
        nothing to others.
        """
        if (
            isinstance(error, Unanswered)
            and error.errno == errno.ETIMEDOUT
            and remember
            and state.lock is not None
        ):
            of = account if isinstance(error, Slow) else None
            self._timed_out[state.lock, of] = trio.current_time()
        state.end(account)
        if state.in_flight or state.queued:
            state.progressed()
        self._drop_unused(state)

    def hung(self, state: LockState) -> Callable[[], None]:
        """Count a killed worker that may hang in the lock; call the result once it is reaped."""
        state.unreaped += 1

        def reaped() -> None:
            state.unreaped -= 1
            state.give_turns()
            self._drop_unused(state)

        return reaped

    def left_out(self, state: LockState) -> Callable[[], None]:
        """Count a killed worker that hangs in a source that is left out: it delays nobody."""
        state.stuck += 1

        def reaped() -> None:
            state.stuck -= 1
            self._drop_unused(state)

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
        if lock in self._states:
            return True
        return bool(self._timed_out) and self._since_timeout(lock, account) < REMEMBERED_SECONDS

    def slow(self) -> list[Hashable]:
        """The locks that somebody waits for, and those that were waited for in vain recently."""
        waited = [
            lock
            for lock, state in self._states.items()
            if state.queued or state.unreaped or state.stuck
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

    def _drop_unused(self, state: LockState) -> None:
        unused = not (state.in_flight or state.queued or state.unreaped or state.stuck)
        if unused and self._states.get(state.lock) is state:
            del self._states[state.lock]
