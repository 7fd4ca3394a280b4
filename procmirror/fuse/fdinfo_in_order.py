"""The contents of files of `fdinfo` for threads that open them in order, as lsof does.

A worker reads such a file, as some of them may have to be waited for. For a thread that opens them
in the order of their numbers it reads more of them in one go, for the OPENs that follow. Each of
these opens its file as the requester all the same: the kernel is asked for the right each time, and
only the bytes are a moment old.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import msgspec

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.identity.requester import Requester
from procmirror.procfs.fdinfo_in_order import MOST_MISSING
from procmirror.procfs.processes import Proc
from procmirror.workers.file_operations import ReadInOrder

# So many files were opened in order before more are read than are asked for.
_BEFORE = 4
# So many others may come between two of a series. A shell sorts numbers as words: after 10999 come
# 11, 110, 1100 and 11000.
_BETWEEN = 4
# A content is good for an OPEN for so many seconds. So many are read at once, for so many threads.
_SECONDS, _MOST, _THREADS = 0.02, 32, 64


class _Series(msgspec.Struct, eq=False):
    """What a thread opens in order: its last number, and how many there were.

    `known` are contents by number, good until `until`; `most` is how many are read at a time, and
    `used` how many of the last ones were good. `between` have come out of order since the last one.
    """

    directory: Node
    requester: Requester
    last: int
    opened: int = 0
    known: dict[int, bytes] = {}
    until: float = 0.0
    most: int = 1
    used: int = 0
    between: int = 0

    def is_of(self, directory: Node, requester: Requester) -> bool:
        """Whether an OPEN is in the same directory, by the same thread with the same rights."""
        return self.directory is directory and self.requester == requester

    def goes_on(self, number: int) -> bool:
        """Whether an OPEN there belongs to this series."""
        return 0 < number - self.last <= MOST_MISSING


class FdinfoInOrder:
    """Reads ahead; `asks()` is whether a look at a file may have to wait for its server."""

    def __init__(self, source: Proc, dispatch: Dispatch, asks: Callable[[], bool]) -> None:
        self._proc = source
        self._dispatch = dispatch
        self._asks = asks
        self._series: dict[int, _Series] = {}

    async def content(self, node: Node, requester: Requester, execution: Execution) -> bytes | None:
        """The content of a file that is opened, None where it is to be read by itself.

        OSError as the kernel raises it.
        """
        series = self._series_of(node, requester)
        if series is None or not self._dispatch.runs_here(
            node.process, execution.placement, waits=False
        ):
            return None
        number = series.last
        if series.until > time.monotonic() and number in series.known:
            series.used += 1
            return series.known.pop(number)
        # Twice as many as were of use, so that a slow reader has none read in vain.
        series.most = min(_MOST, 2 * (series.used + 1))
        operation = ReadInOrder(
            node.path[: -len(node.name) - 1], number, series.most, looks=not self._asks()
        )
        # From the question on: the worker may wait for a processor after it has read them.
        until = time.monotonic() + _SECONDS
        descriptors = partial(self._proc.descriptors, node.process)
        read = await self._dispatch.run(operation, descriptors, execution)
        series.known, series.used, series.until = dict(read), 0, until
        return series.known.pop(number, None)

    def _series_of(self, node: Node, requester: Requester) -> _Series | None:
        """The series that an OPEN goes on with; None where it is the first of one, or too early.

        A process that looks at itself may change what it is about to read.
        """
        if node.place.pattern != "PID/fdinfo" or self._dispatch.self_access.is_own(
            node.process, requester
        ):
            return None
        directory, number = node.parent, int(node.name)
        assert directory
        series = self._series.get(requester.tid)
        if series is None or not series.is_of(directory, requester):
            self._begin(directory, requester, number)
            return None
        if not series.goes_on(number):
            series.between += 1
            if series.opened < _BEFORE or series.between > _BETWEEN:
                self._begin(directory, requester, number)
            return None
        series.last, series.between = number, 0
        series.opened += 1
        return series if series.opened >= _BEFORE else None

    def _begin(self, directory: Node, requester: Requester, number: int) -> None:
        if len(self._series) >= _THREADS:
            self._series.clear()
        self._series[requester.tid] = _Series(directory, requester, number)
