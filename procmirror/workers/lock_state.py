"""The operations on one lock of one target, by account: who may begin one, and who is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

import trio

MOST_IN_FLIGHT, MOST_OF_ACCOUNT = 4, 3
# If no operation of an account on a lock makes progress for so many seconds, the account starts no
# further one.
SUSPICIOUS_SECONDS = 0.05


class Turn:
    """One operation that queues: `given` says that it counts as in flight when `begun` is set."""

    __slots__ = ("begun", "given")

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.given = False


class Lock:
    """The operations of all accounts on one lock.

    `unreaped` counts the killed workers that have not ended, `stuck` those of them that waited for
    a source that further operations leave out.
    """

    __slots__ = ("_states", "_turns", "key", "stuck", "unreaped")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.unreaped = 0
        self.stuck = 0
        # Of the accounts that have operations in flight, or in the queue.
        self._states: dict[int, LockState] = {}
        # The turns of the operations that queue, by account. The next turn is the first one's.
        self._turns: dict[int, deque[Turn]] = {}

    @property
    def in_flight(self) -> int:
        """The number of operations that run."""
        return sum(state.in_flight for state in self._states.values())

    @property
    def queued(self) -> int:
        """The number of operations that wait for their turn."""
        return sum(map(len, self._turns.values()))

    @property
    def is_unused(self) -> bool:
        """Whether nothing is known of it that has to be kept."""
        return not (self._states or self.unreaped or self.stuck)

    def state_of(self, account: int, timeout: float) -> LockState:
        """The operations of an account, new ones with a timeout in seconds."""
        found = self._states.get(account)
        if found is None:
            found = self._states[account] = LockState(account, timeout, self)
        return found

    def settle(self, account: int) -> None:
        """Forget the operations of an account if there are none."""
        state = self._states.get(account)
        if state and not state.in_flight and account not in self._turns:
            del self._states[account]

    def must_wait(self, state: LockState) -> bool:
        """Whether an operation of an account has to queue, behind others of it."""
        return self.unreaped > 0 or state.account in self._turns or state.is_full()

    def give_turns(self) -> None:
        """Begin operations that queue as long as there is room, one of each account in turn."""
        given = True
        while given:
            given = False
            for account in tuple(self._turns):
                state = self._states[account]
                if not self.unreaped and state.is_full():
                    continue
                turn, given = self._next(account), True
                if not self.unreaped:
                    state.begin()
                    turn.given = True
                turn.begun.set()

    def _next(self, account: int) -> Turn:
        """Take the first turn of an account, which has the next one after all others."""
        turns = self._turns.pop(account)
        found = turns.popleft()
        if turns:
            self._turns[account] = turns
        return found

    def queue(self, account: int) -> Turn:
        """A turn behind all others of an account."""
        turn = Turn()
        self._turns.setdefault(account, deque()).append(turn)
        return turn

    def drop(self, account: int, turn: Turn) -> None:
        """Forget a turn that is not waited for any more."""
        turns = self._turns.get(account, ())
        if turns and turn in turns:
            turns.remove(turn)
            if not turns:
                del self._turns[account]
        self.settle(account)


class LockState:
    """The operations of one account on one lock of one target.

    `in_flight` counts those that run, `since` is the time of the last sign of progress of one of
    them (trio's clock); `timeout` is the longest silence of an operation in seconds. `excused` are
    the seconds in which workers started, or waited for a processor. `of_all` are the operations of
    all accounts.
    """

    __slots__ = ("account", "excused", "in_flight", "of_all", "since", "timeout")

    def __init__(self, account: int, timeout: float, of_all: Lock) -> None:
        self.account = account
        self.of_all = of_all
        self.timeout = timeout
        self.in_flight = 0
        self.since = 0.0
        self.excused = 0.0

    @property
    def lock(self) -> Hashable:
        """What tells the lock from others."""
        return self.of_all.key

    def begin(self) -> None:
        """Count one more operation in flight."""
        if not self.in_flight:
            self.since = trio.current_time()
        self.in_flight += 1

    def end(self) -> None:
        """Count one fewer."""
        self.in_flight -= 1
        self.of_all.settle(self.account)

    def progressed(self) -> None:
        """Note that an operation makes progress, and so the lock is not held for ever."""
        self.since = trio.current_time()
        if self.of_all.queued:
            self.of_all.give_turns()

    def is_full(self) -> bool:
        """Whether one more operation of the account would have to wait."""
        if self.of_all.in_flight >= MOST_IN_FLIGHT:
            return True
        silent = self.in_flight > 0 and trio.current_time() - self.since > SUSPICIOUS_SECONDS
        return silent or self.in_flight >= MOST_OF_ACCOUNT
