"""Workers that not even SIGKILL ends, and the accounts that caused them.

The server of a file system decides when a reader of its files continues: until then the kernel
keeps the worker, killed or not. Such a worker does not count as one of the pool. Each account may
cause a few; beyond that the mirror refuses every operation for which that account could keep
another worker.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable

from procmirror.identity.errors import Unanswered
from procmirror.workers.owner import RealUids

MOST_LOST_OF_ACCOUNT = 4
# The limit for root, whose processes wait in large numbers when a disk or a file server is gone.
MOST_LOST_OF_ROOT = 16
# The limit about processes that have ended: whose they were nothing tells any more.
MOST_LOST_OF_ENDED = 64


class LostWorkers:
    """Counts lost workers by the account that caused them.

    The cause of a wait is the account whose process is the target, and not the requester's: the
    reader waits for the memory and the files of that process. Without a target the cause is the
    requester's account. A process that has ended can keep a worker that takes its memory down
    (exit_aio, fs/aio.c). `source` is the mirrored procfs.
    `may_be_owned` tells whether a process is in another user namespace, and `outermost_of` for an
    account the inode and the owner of the outermost one around it; None if that is not soon told.
    The daemon waits for neither, nor for the status of a process.
    """

    def __init__(self, source: int, may_be_owned: Callable[[bytes], bool]) -> None:
        self.outermost_of: Callable[[bytes, int], tuple[int, int] | None] = lambda *_: None
        self._real_uids = RealUids(source)
        self._may_be_owned = may_be_owned
        self._lost: dict[Hashable, int] = {}

    def cause(self, target: bytes, account: int) -> tuple[str, int | None]:
        """The cause, if an operation about a process (its pid in the source) is not answered.

        All processes in user namespaces whose owner is not soon told are one cause, and all others
        of which that holds are one for each requester's account.
        """
        if not target:
            return "by", account
        try:
            found = self._account(target, account)
        except (FileNotFoundError, ProcessLookupError):
            return "ended", account
        except (OSError, ValueError):
            # Its owner has a lease on it, or there is no descriptor left.
            return "unknown", account
        if found is None and not self._may_be_owned(target):
            return "unknown", account
        return "about", found

    def _account(self, target: bytes, account: int) -> int | None:
        """The account of a process: its real uid or, in another user namespace, the owner's uid.

        It is the real uid because a setuid program that the account started has other ids. None if
        the owner is not soon told.
        """
        if self._may_be_owned(target):
            found = self.outermost_of(target, account)
            return found and (found[1] or -found[0])
        return self._real_uids.of(target)

    def refuse(self, target: bytes, account: int) -> None:
        """Raise Unanswered(EBUSY) if the cause of a possible wait has too many lost workers."""
        if not self._lost:
            return
        cause = self.cause(target, account)
        if self._lost.get(cause, 0) >= self._most_of(cause):
            raise Unanswered(errno.EBUSY, "too many workers wait for the same account")

    def _most_of(self, cause: tuple[str, int | None]) -> int:
        kind, account = cause
        if kind == "ended":
            return MOST_LOST_OF_ENDED
        return MOST_LOST_OF_ROOT if kind != "by" and account == 0 else MOST_LOST_OF_ACCOUNT

    def add(self, cause: Hashable) -> None:
        """Count a worker that is lost."""
        self._lost[cause] = self._lost.get(cause, 0) + 1

    def remove(self, cause: Hashable) -> None:
        """Count one fewer: the kernel has let go of it."""
        self._lost[cause] -= 1
        if not self._lost[cause]:
            del self._lost[cause]
