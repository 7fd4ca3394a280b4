"""The result of an operation that a worker carried out."""

from __future__ import annotations

from typing import Any

from procmirror.workers.stream import Stream


class Result:
    """The result of an operation that a worker carried out.

    `descriptor` is the open file that is the result, or the spool that holds it, else -1. `stream`
    is set while the worker still makes the content.
    """

    __slots__ = ("descriptor", "stream", "value")

    def __init__(self, value: Any, descriptor: int = -1, stream: Stream | None = None) -> None:
        self.value = value
        self.descriptor = descriptor
        self.stream = stream
