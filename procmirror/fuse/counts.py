"""How many requests there were, and how they failed."""

from __future__ import annotations

import errno
import time
from collections import Counter


class Counts:
    """How many requests there were, and how many of them failed with which errno.

    An errno that is an answer like another (ENOENT, EACCES) is counted too.
    """

    def __init__(self) -> None:
        self.began = time.time()
        self.requests = 0
        self.errors: Counter[str] = Counter()

    def failed(self, code: int) -> None:
        """Count one failure."""
        self.errors[errno.errorcode.get(code, str(code))] += 1
