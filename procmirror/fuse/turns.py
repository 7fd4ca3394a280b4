"""Whose turn it is, where more requests wait than one.

The kernel hands requests over in the order in which they came: a user with a thousand threads would
have everybody wait for a thousand answers. So requests that wait are taken from the kernel first,
and then served account by account.

A handler asks for its turn at its start (`Turns.wait`), if `crowded` says so. It suspends with
`PARKED` then, and `loop` resumes it.
"""

from __future__ import annotations

import errno
import types
from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any, TypeVar

import pyfuse3

from procmirror.fuse.quota import ROOT, account_of
from procmirror.identity.errors import Unanswered
from procmirror.identity.namespaces import account_of_namespace
from procmirror.identity.requester import Requesters, RequestKind

# How many requests may wait for their turn. Each takes some KiB of memory; of an account that has
# more, they are refused, and beyond the number for all they stay with the kernel.
MOST_OF_ACCOUNT = 4000
MOST = 16_000
# Of how many accounts the last turn is remembered.
_REMEMBERED = 1000

T = TypeVar("T")


class Parked:
    """What a handler suspends with that waits for its turn, as `account`."""

    __slots__ = ("account",)

    def __init__(self, account: int) -> None:
        self.account = account


@types.coroutine
def suspend(trap: object) -> Generator[object, Any, Any]:
    """Suspend a session loop; returns what it is resumed with."""
    return (yield trap)


class Turns:
    """The session loops whose handlers wait for their turn, by account.

    The account is next whose last turn is the longest ago.

    `more` says whether the kernel has another request. `crowded` is true while requests wait, and
    every now and then to see whether they do.
    """

    def __init__(self) -> None:
        self.crowded = False
        self.size = 0
        self.more: Callable[[], bool] = lambda: False
        self._queues: dict[int, deque[Any]] = {}
        # The queued accounts, each with the number of its last turn: the least is the next.
        self._order: list[tuple[int, int]] = []
        self._served: dict[int, int] = {}
        self._turn = 0

    def are_taken(self) -> bool:
        """Whether another request waits, for a handler that begins."""
        self.crowded = bool(self.size) or self.more()
        return self.crowded

    async def wait(self, account_of: Callable[[T], int], request: T) -> None:
        """Return when it is the turn of the account of a request.

        Unanswered(EBUSY) if too many requests of the account wait already.
        """
        account = account_of(request)
        queue = self._queues.get(account)
        if queue is not None and len(queue) >= MOST_OF_ACCOUNT:
            raise Unanswered(errno.EBUSY, "too many requests of the account wait for their turn")
        await suspend(Parked(account))

    def add(self, parked: Parked, session: Any) -> None:
        """Queue a session loop whose handler waits."""
        account = parked.account
        queue = self._queues.get(account)
        if queue is None:
            queue = self._queues[account] = deque()
            heappush(self._order, (self._served.get(account, 0), account))
        queue.append(session)
        self.size += 1

    def next(self) -> Any:
        """The session loop whose turn it is, None where none waits."""
        if not self._order:
            return None
        _, account = heappop(self._order)
        self._turn += 1
        if len(self._served) >= _REMEMBERED:
            self._served.clear()
        self._served[account] = self._turn
        queue = self._queues[account]
        session = queue.popleft()
        if queue:
            heappush(self._order, (self._turn, account))
        else:
            del self._queues[account]
        self.size -= 1
        return session

    def clear(self) -> None:
        """Answer none of those that wait: the connection is gone."""
        while session := self.next():
            session.close()


def account_of_turn(context: pyfuse3.RequestContext, requesters: Requesters, permitted: int) -> int:
    """The account of a requester (`quota.account_of`), found with few system calls.

    It is the uid of a requester of whom nothing can be found out.
    """
    tid, uid = context.pid, context.uid
    try:
        if uid == ROOT:
            requester = requesters.identify(tid, uid, context.gid, RequestKind.OPEN)
            return account_of(requester, permitted, requesters.proc)
        if requesters.namespaces.user_of(tid) == requesters.namespaces.user_link:
            return uid
        return account_of_namespace(requesters.proc, tid)
    except OSError:
        return uid


turns = Turns()
