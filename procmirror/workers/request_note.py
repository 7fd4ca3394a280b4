"""What happens to a request on its way, noted only while requests are logged (`-d`).

The pool writes it, the log of requests reads it. Each task has its own note. Without the log there
is none, at the cost of one look-up of a context variable.
"""

from __future__ import annotations

import os
import re
import time
from contextvars import ContextVar

from procmirror.identity.files import READ


class Note:
    """The workers that a request was sent to, and the lock of the target that it may wait for.

    `by_ring`: the daemon's ring has answered it.

    `own` is a descriptor of the daemon's own procfs: /proc itself may be the mirror.
    """

    __slots__ = ("_own", "_sent", "by_ring", "lock", "workers")

    def __init__(self, own: int) -> None:
        self._own = own
        self._sent = 0
        self.lock: object = None
        self.by_ring = False
        self.workers: list[int] = []

    def sent(self, pidfd: int) -> None:
        """Note that the request goes to the worker behind a pidfd."""
        self._sent = self._sent or time.perf_counter_ns()
        self.workers.append(self._pid(pidfd))

    def microseconds(self) -> int:
        """Microseconds since the request was first sent to a worker; 0 if it never was."""
        return (time.perf_counter_ns() - self._sent) // 1000 if self._sent else 0

    def _pid(self, pidfd: int) -> int:
        """The pid behind a pidfd, from its fdinfo; -1 if the process has ended."""
        try:
            with open(os.open(f"self/fdinfo/{pidfd}", READ, dir_fd=self._own), "rb") as info:
                found = re.search(rb"^Pid:\s*(\d+)$", info.read(), re.MULTILINE)
        except OSError:
            found = None
        return int(found[1]) if found else -1


_current: ContextVar[Note | None] = ContextVar("note", default=None)
# The note of the running task, None if there is none; and how to give it one.
current = _current.get
begin = _current.set
end = _current.reset
