"""Workers that not even SIGKILL ends, and the accounts that caused them.

Whoever serves a file system of its own decides when a reader of its files goes on: until then the
kernel keeps the worker, killed or not. Such a worker takes nobody's place. A few are allowed to
each account; then the mirror asks nothing more for which that account could keep a worker.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Hashable

from procmirror.identity.errors import Unanswered
from procmirror.identity.namespaces import outermost_user_namespace

MOST_LOST_OF_ACCOUNT = 4
# Of root's processes, of which many wait when a disk or a server of files is gone.
MOST_LOST_OF_ROOT = 16
_ROOT = ("about", 0)


class LostWorkers:
    """How many workers are lost, by the account that caused them.

    The cause of a wait is the account whose process is looked at, whoever looks: its memory and its
    files are what the reader waits for. Where no process is looked at, it is the account that asks.
    `source` is the mirrored procfs, `own` a procfs in which this process is `self`.
    """

    def __init__(self, source: int, own: int) -> None:
        self._source = source
        self._own_namespace = os.stat("self/ns/user", dir_fd=own).st_ino
        self._lost: dict[Hashable, int] = {}

    def cause(self, target: bytes, account: int) -> Hashable:
        """Who is the cause if a question about a process (its number in SOURCE) is not answered."""
        if target:
            try:
                return "about", self._account(int(target))
            except (OSError, ValueError, StopIteration):
                # The process has ended, and keeps nobody any more.
                pass
        return "by", account

    def _account(self, target: int) -> int:
        """The real uid of a process or, in another user namespace, its owner's.

        The real one, as the others may be those of a setuid program that the account has started.
        """
        namespace = os.stat(b"%d/ns/user" % target, dir_fd=self._source).st_ino
        if namespace != self._own_namespace:
            inode, owner = outermost_user_namespace(self._source, target, self._own_namespace)
            return owner or -inode
        descriptor = os.open(b"%d/status" % target, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._source)
        with open(descriptor, "rb") as status:
            lines = status.readlines()[1:]
        return int(next(line.split()[1] for line in lines if line.startswith(b"Uid:")))

    def refuse(self, target: bytes, account: int) -> None:
        """Raise Unanswered(EBUSY) if the cause of a possible wait has too many lost workers."""
        if not self._lost:
            return
        cause = self.cause(target, account)
        most = MOST_LOST_OF_ROOT if cause == _ROOT else MOST_LOST_OF_ACCOUNT
        if self._lost.get(cause, 0) >= most:
            raise Unanswered(errno.EBUSY, "too many workers wait for the same account")

    def add(self, cause: Hashable) -> None:
        """Count a worker that is lost."""
        self._lost[cause] = self._lost.get(cause, 0) + 1

    def remove(self, cause: Hashable) -> None:
        """Count one less: the kernel has let go of it."""
        self._lost[cause] -= 1
        if not self._lost[cause]:
            del self._lost[cause]
