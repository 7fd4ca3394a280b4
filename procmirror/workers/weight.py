"""The weight of a worker's process, which is its account's share of the processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import CAP_SYS_NICE

_LEAST_WEIGHT = 19
_AS_USUAL = nullcontext()


class Weight:
    """How much nicer than usual this thread is; coming back from that needs a right."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._own = os.getpriority(os.PRIO_PROCESS, 0)
        self._nice = 0

    def nicer(self, nice: int) -> AbstractContextManager[None]:
        """Be so much nicer than usual, if this can be taken back, and as usual afterwards.

        The next request may be another account's: it must not wait for its worker to be woken with
        the weight of this one.
        """
        return self._scope(nice) if nice or self._nice else _AS_USUAL

    @contextmanager
    def _scope(self, nice: int) -> Iterator[None]:
        self._be(nice)
        try:
            yield
        finally:
            self._be(0)

    def _be(self, nice: int) -> None:
        if nice == self._nice:
            return
        credentials = self._credentials
        if credentials.privileged and credentials.permitted & CAP_SYS_NICE:
            with suppress(OSError):
                value = min(self._own + nice, _LEAST_WEIGHT)
                os.setpriority(os.PRIO_PROCESS, 0, value)
                self._nice = nice
