"""Accounts whose workers in other namespaces answer late, or not at all, when names are looked up.

For open(2) with O_CREAT the kernel sends one LOOKUP at a time into a directory, and has all others
wait. The root of a user namespace may stop the workers in it, or kill them, so that each answer
takes a moment. Without a limit such a requester could block a directory of the mirror for
everybody.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import trio

from procmirror.identity.errors import Unanswered

# For so many seconds an account is refused after the first timeout; after each further one twice as
# long, up to the longest.
_FIRST_SECONDS, _LONGEST_SECONDS = 1.0, 64.0
# An answer that takes longer is late, and so long may late ones of an account take together. An
# eighth of the time that passes is forgiven.
_PROMPT_SECONDS, _MOST_LATE_SECONDS, _FORGIVEN = 0.01, 0.5, 0.125
# The answer comes after so many waits for a processor like those of this process.
_WAITS = 4


class _Late(NamedTuple):
    """How many seconds the late answers of an account took, and until when that was counted."""

    seconds: float
    until: float


class SilentAccounts:
    """The accounts whose lookups are refused, and for how long.

    `waited()` says for how long this process was kept from running: on a busy machine every answer
    is late.
    """

    def __init__(self, waited: Callable[[], float] = lambda: 0.0) -> None:
        self._waited = waited
        # The end of the refusal in trio's time, and its length in seconds.
        self._refused: dict[int, tuple[float, float]] = {}
        self._late: dict[int, _Late] = {}

    def refuse(self, account: int) -> None:
        """Raise Unanswered(EBUSY) if a worker of the account did not answer a moment ago."""
        until, _ = self._refused.get(account, (0.0, 0.0))
        if trio.current_time() < until:
            raise Unanswered(errno.EBUSY, "the workers of this account do not answer")

    @contextmanager
    def asked(self, account: int, excused: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
        """A scope in which a worker looks up names; a prompt answer ends the refusals.

        `excused()` says how many seconds no requester has caused.
        """
        began, waited = trio.current_time() - excused(), self._waited()
        answered = False
        try:
            yield
            answered = True
        except Unanswered as unanswered:
            if unanswered.errno == errno.ETIMEDOUT:
                self._refuse_longer(account)
            raise
        finally:
            late = self._is_late(account, began + excused(), waited)
            if answered and not late:
                self._refused.pop(account, None)

    def _refuse_longer(self, account: int) -> None:
        _, before = self._refused.get(account, (0.0, 0.0))
        seconds = min(2 * before, _LONGEST_SECONDS) or _FIRST_SECONDS
        self._refused[account] = trio.current_time() + seconds, seconds

    def _is_late(self, account: int, began: float, waited: float) -> bool:
        """Whether an answer came late; an account that is late too much is refused from then on.

        Where several are late at a time, the time counts once.
        """
        now = trio.current_time()
        took = now - began - _WAITS * (self._waited() - waited)
        if took <= _PROMPT_SECONDS:
            return False
        before = self._late.pop(account, _Late(0.0, began))
        since = now - before.until
        seconds = max(0.0, before.seconds - _FORGIVEN * since) + min(took, since)
        if seconds > _MOST_LATE_SECONDS:
            self._refuse_longer(account)
        else:
            self._late[account] = _Late(seconds, now)
        return True

    def refused(self) -> list[int]:
        """The accounts that are refused now."""
        now = trio.current_time()
        return [account for account, (until, _) in self._refused.items() if now < until]
