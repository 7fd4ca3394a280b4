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
from collections import Counter, deque
from collections.abc import Callable, Generator, Sized
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

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
Q = TypeVar("Q", bound=Sized)


class Parked:
    """What a handler suspends with that waits for its turn, as `account`.

    `directory` is the number of the one that the kernel has locked for the request, 0 for none.
    """

    __slots__ = ("account", "directory")

    def __init__(self, account: int, directory: int = 0) -> None:
        self.account = account
        self.directory = directory


@types.coroutine
def suspend(trap: object) -> Generator[object, Any, Any]:
    """Suspend a session loop; returns what it is resumed with."""
    return (yield trap)


class _InTurn(Generic[Q]):
    """Queues by key; that one is next whose last turn is the longest ago. `make` makes a queue."""

    def __init__(self, make: Callable[[], Q]) -> None:
        self._make = make
        self._queues: dict[int, Q] = {}
        # The keys, each with the number of its last turn: the least is the next.
        self._order: list[tuple[int, int]] = []
        self._served: dict[int, int] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._order)

    def queue(self, key: int) -> Q:
        """The queue of a key, to which something is added now."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = self._make()
            heappush(self._order, (self._served.get(key, 0), key))
        return queue

    def take(self, take_from: Callable[[Q], Any]) -> Any:
        """What `take_from` takes from the queue whose turn it is."""
        _, key = heappop(self._order)
        self._turn += 1
        if len(self._served) >= _REMEMBERED:
            self._served.clear()
        self._served[key] = self._turn
        queue = self._queues[key]
        taken = take_from(queue)
        if queue:
            heappush(self._order, (self._turn, key))
        else:
            del self._queues[key]
        return taken


class _ByAccount:
    """Requests that wait: by account, and those of an account by directory."""

    def __init__(self) -> None:
        self._queues: _InTurn[_InTurn[deque[tuple[int, Any]]]] = _InTurn(lambda: _InTurn(deque))

    def __len__(self) -> int:
        return len(self._queues)

    def add(self, parked: Parked, session: Any) -> None:
        """Queue a session loop."""
        queue = self._queues.queue(parked.account).queue(parked.directory)
        queue.append((parked.account, session))

    def take(self) -> tuple[int, Any]:
        """The account and the session loop whose turn it is."""
        account, session = self._queues.take(lambda queue: queue.take(deque.popleft))
        return account, session


class Turns:
    """The session loops whose handlers wait for their turn, by account.

    The account is next whose last turn is the longest ago. Requests for which the kernel has
    locked a directory, as it does for LOOKUP and READDIR, have turns of their own, and so have
    those in the root: others may wait for that directory, and must not wait for the thousand other
    requests of the account that has it locked.

    `more` says whether the kernel has another request. `crowded` is true while requests wait, and
    every now and then to see whether they do.
    """

    def __init__(self) -> None:
        self.crowded = False
        self.size = 0
        self.more: Callable[[], bool] = lambda: False
        self._anywhere, self._in_root, self._in_others = _ByAccount(), _ByAccount(), _ByAccount()
        # The first of them has the next turn.
        self._kinds = deque((self._in_root, self._in_others, self._anywhere))
        self._waiting: Counter[int] = Counter()

    def are_taken(self) -> bool:
        """Whether another request waits, for a handler that begins."""
        self.crowded = bool(self.size) or self.more()
        return self.crowded

    async def wait(self, account_of: Callable[[T], int], request: T, directory: int = 0) -> None:
        """Return when it is the turn of the account of a request, which locks a directory or none.

        Unanswered(EBUSY) if too many requests of the account wait already.
        """
        account = account_of(request)
        if self._waiting[account] >= MOST_OF_ACCOUNT:
            raise Unanswered(errno.EBUSY, "too many requests of the account wait for their turn")
        await suspend(Parked(account, directory))

    def add(self, parked: Parked, session: Any) -> None:
        """Queue a session loop whose handler waits."""
        elsewhere = self._in_others if parked.directory else self._anywhere
        kind = self._in_root if parked.directory == pyfuse3.ROOT_INODE else elsewhere
        kind.add(parked, session)
        self._waiting[parked.account] += 1
        self.size += 1

    def next(self) -> Any:
        """The session loop whose turn it is, None where none waits."""
        if not self.size:
            return None
        while not self._kinds[0]:
            self._kinds.rotate(-1)
        account, session = self._kinds[0].take()
        self._kinds.rotate(-1)
        self._waiting[account] -= 1
        if not self._waiting[account]:
            del self._waiting[account]
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
