"""The byte order of the machine that a file comes from, while the file is decoded.

The kernel prints some words of memory as numbers of the host (addresses of net/tcp, net/route).
What they are in memory depends on its processor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeAlias

ByteOrder: TypeAlias = Literal["little", "big"]
_order: ContextVar[ByteOrder] = ContextVar("order", default=sys.byteorder)


def byte_order() -> ByteOrder:
    """The byte order of the file that is being decoded: this machine's, if nothing else is said."""
    return _order.get()


@contextmanager
def decoding_as(order: ByteOrder) -> Iterator[None]:
    """The time in which files of a machine of this byte order are decoded."""
    before = _order.set(order)
    try:
        yield
    finally:
        _order.reset(before)
