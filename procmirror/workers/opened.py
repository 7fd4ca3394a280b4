"""A descriptor that an operation opened, with what was read at once."""

from __future__ import annotations

import errno
from typing import Generic, TypeVar

import msgspec

from procmirror.identity.errors import error
from procmirror.workers.result import Result

T = TypeVar("T")


class Opened(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """An open descriptor, and what was read ahead from it."""

    number: int
    readahead: T | None = None


def descriptor_received(result: Result) -> int:
    """The descriptor in the result of a worker; OSError(EMFILE) if the daemon had none left."""
    if result.descriptor < 0:
        raise error(errno.EMFILE)
    return result.descriptor
