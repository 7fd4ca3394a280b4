"""Accounts whose workers in other namespaces did not answer when a name was looked up.

The kernel sends one LOOKUP or READDIR at a time into a directory, and the root of a user namespace
may stop the workers in it. Without a limit such a requester could block a directory of the mirror
for everybody.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from procmirror.identity.errors import Unanswered

# For so many seconds an account is refused after the first timeout; after each further one twice as
# long, up to the longest.
_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 64.0


class SilentAccounts:
    """The accounts whose lookups are refused, and for how long."""

    def __init__(self) -> None:
        # The end of the refusal in trio's time, and its length in seconds.
        self._refused: dict[int, tuple[float, float]] = {}

    def refuse(self, account: int) -> None:
        """Raise Unanswered(EBUSY) if a worker of the account did not answer a moment ago."""
        until, _ = self._refused.get(account, (0.0, 0.0))
        if trio.current_time() < until:
            raise Unanswered(errno.EBUSY, "the workers of this account do not answer")

    @contextmanager
    def asked(self, account: int) -> Iterator[None]:
        """A scope in which a worker looks up names; an answer ends the refusals."""
        try:
            yield
        except Unanswered as unanswered:
            if unanswered.errno == errno.ETIMEDOUT:
                _, before = self._refused.get(account, (0.0, 0.0))
                seconds = min(2 * before, _LONGEST_SECONDS) or _FIRST_SECONDS
                self._refused[account] = trio.current_time() + seconds, seconds
            raise
        self._refused.pop(account, None)

    def refused(self) -> list[int]:
        """The accounts that are refused now."""
        now = trio.current_time()
        return [account for account, (until, _) in self._refused.items() if now < until]
