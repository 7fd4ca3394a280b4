"""What was made a moment ago, for the same requester."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# A thing is kept for so many times as long as it took, and so many seconds at most.
_TIMES, _MOST_SECONDS = 10, 1.0
_MOST_NAMES = 64


class Kept:
    """Values by name for one requester; those of the requester before it are dropped."""

    def __init__(self) -> None:
        self._requester: object = None
        self._things: dict[str, tuple[float, Any]] = {}

    def of(self, requester: object) -> Callable[[str, Callable[[], Any]], Any]:
        """The access of a requester; `requester` is all that its answers depend on."""
        if self._requester != requester or len(self._things) >= _MOST_NAMES:
            self._things.clear()
        self._requester = requester
        return self._get

    def _get(self, name: str, make: Callable[[], Any]) -> Any:
        """The thing of a name, made if it is not there or too old."""
        begun = time.monotonic()
        until, thing = self._things.get(name, (0.0, None))
        if begun < until:
            return thing
        thing = make()
        now = time.monotonic()
        self._things[name] = now + min(_TIMES * (now - begun), _MOST_SECONDS), thing
        return thing
