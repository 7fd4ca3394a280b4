"""Limits of what one account may use of the workers at a time."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from procmirror.identity.errors import Unanswered

# Each waiting request occupies one place of the FUSE loop.
MOST_WAITING_OF_ACCOUNT = 400
MOST_OVERDUE_OF_ACCOUNT = 16
# Where so many of all accounts are overdue, each account may still have a few.
MANY_OVERDUE, A_FEW_OVERDUE = 24, 4
MOST_OVERDUE = 48
MOST_NAMESPACE_WORKERS_OF_ACCOUNT = 4


class _Waiting:
    """A scope that counts one more of an account. A generator would take three times as long."""

    __slots__ = ("_account", "_counts")

    def __init__(self, counts: dict[int, int], account: int) -> None:
        self._counts = counts
        self._account = account

    def __enter__(self) -> None:
        count = self._counts.get(self._account, 0)
        if count >= MOST_WAITING_OF_ACCOUNT:
            raise Unanswered(errno.EBUSY, "too many requests wait already")
        self._counts[self._account] = count + 1

    def __exit__(self, *_: object) -> None:
        _decrease(self._counts, self._account)


class Admission:
    """Counts waiting requests, overdue workers and workers in other namespaces, by account."""

    def __init__(self) -> None:
        self._waiting: dict[int, int] = {}
        self._overdue: dict[int, int] = {}
        self._namespace_workers: dict[int, int] = {}

    def counts(self) -> dict[int, int]:
        """How many requests wait, by account."""
        return dict(self._waiting)

    @property
    def nobody_overdue(self) -> bool:
        """Whether no request is overdue at the moment."""
        return not self._overdue

    def waiting(self, account: int) -> AbstractContextManager[None]:
        """Count one waiting request of an account; Unanswered(EBUSY) beyond its limit."""
        return _Waiting(self._waiting, account)

    @contextmanager
    def overdue(self, account: int) -> Iterator[None]:
        """Count one overdue request.

        Unanswered(EBUSY) beyond the limit of the account, or of all accounts together.
        """
        count, total = self._overdue.get(account, 0), sum(self._overdue.values())
        most = MOST_OVERDUE_OF_ACCOUNT if total < MANY_OVERDUE else A_FEW_OVERDUE
        if count >= most or total >= MOST_OVERDUE:
            raise Unanswered(errno.EBUSY, "too many wait already")
        self._overdue[account] = count + 1
        try:
            yield
        finally:
            _decrease(self._overdue, account)

    def may_have_namespace_worker(self, account: int) -> bool:
        """Whether an account may have one more worker in other namespaces."""
        return self._namespace_workers.get(account, 0) < MOST_NAMESPACE_WORKERS_OF_ACCOUNT

    def add_namespace_worker(self, account: int) -> None:
        """Count one more worker in other namespaces."""
        self._namespace_workers[account] = self._namespace_workers.get(account, 0) + 1

    def remove_namespace_worker(self, account: int) -> None:
        """Count one worker in other namespaces fewer."""
        _decrease(self._namespace_workers, account)


def _decrease(counts: dict[int, int], account: int) -> None:
    """Count one fewer; an account without any is removed, so that it takes no memory."""
    counts[account] -= 1
    if not counts[account]:
        del counts[account]
