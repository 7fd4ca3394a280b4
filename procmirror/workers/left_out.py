"""Which sources of a view are left out because a worker has waited for them in vain.

A view of several sources is made again without the source that does not answer. The view names what
is missing. What was left out is left out at once for a moment, so that many readers of the same
view do not wait one after the other, and as long as the kernel keeps a worker that was killed in
it; then it is tried again.
"""

from __future__ import annotations

from collections.abc import Hashable

import trio
from msgspec import structs

from procmirror.mirror.snapshot import is_joined
from procmirror.workers.lock_state import LockState
from procmirror.workers.protocol import Request
from procmirror.workers.view_operations import MakeView

# For so long a source that did not answer is not asked again.
REMEMBERED_SECONDS = 1.0
# How many sources of one view may not answer; more are a view that does not.
MOST_PARTS = 4
_MOST_REMEMBERED = 256


def may_lack_parts(request: Request) -> bool:
    """Whether a request is for a view of several sources."""
    return isinstance(request.operation, MakeView) and is_joined(request.operation.view)


class LeftOut:
    """The sources that did not answer a moment ago, by lock and view."""

    def __init__(self) -> None:
        self._paths: dict[Hashable, tuple[float, tuple[str, ...]]] = {}

    def applied(self, request: Request, state: LockState) -> Request:
        """The request without the sources that did not answer a moment ago.

        `state` is that of the lock that the view is on.
        """
        if not self._paths or not may_lack_parts(request):
            return request
        assert isinstance(request.operation, MakeView)
        key = state.lock, request.operation.view
        until, paths = self._paths.get(key, (0.0, ()))
        if not paths:
            return request
        if trio.current_time() > until and not state.of_all.stuck:
            del self._paths[key]
            return request
        operation = structs.replace(request.operation, left_out=paths)
        return structs.replace(request, operation=operation)

    def add(self, request: Request, state: LockState, path: str) -> bool:
        """Leave out one more source; False if too many are left out, or this one was already."""
        assert isinstance(request.operation, MakeView)
        before = request.operation.left_out
        if len(before) >= MOST_PARTS or path in before:
            return False
        while len(self._paths) >= _MOST_REMEMBERED:
            del self._paths[next(iter(self._paths))]
        key = state.lock, request.operation.view
        self._paths[key] = trio.current_time() + REMEMBERED_SECONDS, (*before, path)
        return True
