"""The content of a view as an operation returns it."""

from __future__ import annotations

from typing import TypeAlias

from procmirror.workers.result import Result
from procmirror.workers.spool import Spool
from procmirror.workers.stream import Stream

# The content of a view: bytes if it is short, a spool, or a spool that a worker still fills.
Content: TypeAlias = "bytes | Spool | Stream"


def content_received(result: Result) -> Content:
    """The content of a view in the result of a worker."""
    if result.descriptor < 0:
        return bytes(result.value)
    return result.stream or Spool.received(result.descriptor, int(result.value))
