"""How the accounts share the workers: who may have one more, who is next, and with which weight.

Where all workers are busy the next one is for the account that has the fewest. An account that has
none may always have one, beyond the limit of the pool. The busy workers of one account have
together about the weight of one process, so that nobody takes the processors by asking much.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import trio

# Of one account as many may be overdue (admission.MOST_OVERDUE_OF_ACCOUNT), and a few besides.
MOST_BUSY_OF_ACCOUNT = 24
# A step of nice is a factor of 1.25 in weight (sched(7)).
_FACTOR = 1.25
_LEAST_WEIGHT = 19


def nice(busy: int) -> int:
    """The nice value with which so many processes have together about the weight of one."""
    return min(_LEAST_WEIGHT, round(math.log(max(busy, 1), _FACTOR)))


class Shares:
    """The busy workers, `total` and by account, and the requests that wait for one, by account."""

    def __init__(self) -> None:
        self.total = 0
        self._busy: dict[int, int] = {}
        self._queues: dict[int, deque[trio.Event]] = {}

    def busy(self, account: int) -> int:
        """How many workers an account keeps busy."""
        return self._busy.get(account, 0)

    def begin(self, account: int) -> None:
        """Count one more busy worker of an account."""
        self.total += 1
        self._busy[account] = self.busy(account) + 1

    def end(self, account: int) -> None:
        """Count one fewer."""
        self.total -= 1
        self._busy[account] -= 1
        if not self._busy[account]:
            del self._busy[account]

    @contextmanager
    def queued(self, account: int) -> Iterator[trio.Event]:
        """A place in the queue; its event is set when there may be a worker for this account.

        Who leaves without a worker, or took one, lets the next one look.
        """
        event = trio.Event()
        queue = self._queues.setdefault(account, deque())
        queue.append(event)
        try:
            yield event
        finally:
            if event in queue:
                queue.remove(event)
                if not queue:
                    del self._queues[account]

    def wake(self) -> None:
        """Have the first in the queue of the account look that has the fewest busy workers."""
        if not self._queues:
            return
        account = min(self._queues, key=self.busy)
        queue = self._queues[account]
        queue.popleft().set()
        if not queue:
            del self._queues[account]
