"""A signal that ends a read of /dev/fuse that would last.

A request that poll(2) told of may be gone when it is read: its requester was killed in between.
The read then lasts until another request comes, and all who wait for an answer wait with it.
libfuse's read cannot be made not to wait: pyfuse3 would lose its buffer at each EAGAIN. EINTR it
takes well. So while requests are read a timer runs; it costs nothing where none are. It also lets
the loop wait for a request by the read alone.
"""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from typing import Any

SECONDS = 0.05


class ReadLimit:
    """The timer (ITIMER_REAL) of a process whose main thread reads requests.

    `runs` says whether it runs, `used` whether a request was read since it ticked.
    """

    def __init__(self) -> None:
        self.used = False
        self.runs = False
        self._before: Any = None
        self.able = threading.current_thread() is threading.main_thread()

    def start(self) -> None:
        """Take SIGALRM."""
        if self.able:
            self._before = signal.signal(signal.SIGALRM, self._ticked)

    def stop(self) -> None:
        """Give SIGALRM back."""
        if self.able:
            signal.setitimer(signal.ITIMER_REAL, 0)
            with suppress(TypeError):  # a handler that was not set by Python
                signal.signal(signal.SIGALRM, self._before)

    def before_read(self) -> None:
        """Say that a request is read next: the read is interrupted after SECONDS, and so on."""
        self.used = True
        if not self.runs and self.able:
            self.runs = True
            signal.setitimer(signal.ITIMER_REAL, SECONDS, SECONDS)

    def _ticked(self, *_: object) -> None:
        """Let the timer run as long as requests are read."""
        if not self.used:
            self.runs = False
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.used = False
