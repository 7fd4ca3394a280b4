"""The children of a process that ignores their ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def kept_as_zombies() -> Iterator[None]:
    """A scope in which a child that ends stays a zombie.

    Its number is nobody else's before it has a pidfd. Children that have ended by the end of the
    scope are reaped there: nothing else waits for them.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
