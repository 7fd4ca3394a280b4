"""A read of a request that is gone ends, and the timer stops where nothing is read."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time

import pytest

from procmirror.fuse.read_limit import SECONDS, ReadLimit

libc = ctypes.CDLL(None, use_errno=True)


def read(descriptor: int) -> int:
    """The errno of a read as libfuse calls it, which Python does not begin again; or 0."""
    return ctypes.get_errno() if libc.read(descriptor, ctypes.create_string_buffer(1), 1) < 0 else 0


def test_a_read_of_nothing_is_interrupted_each_time_and_then_the_timer_stops() -> None:
    limit, before = ReadLimit(), signal.getsignal(signal.SIGALRM)
    ends = os.pipe()
    try:
        limit.start()
        for _ in range(3):
            limit.before_read()
            assert read(ends[0]) == errno.EINTR
        time.sleep(10 * SECONDS)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        limit.before_read()
        assert signal.getitimer(signal.ITIMER_REAL)[1] == pytest.approx(SECONDS)
    finally:
        limit.stop()
        for end in ends:
            os.close(end)
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
