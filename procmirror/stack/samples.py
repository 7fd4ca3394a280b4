"""The samples of one request: as many running threads as its time is enough for."""

from __future__ import annotations

import errno
import struct

from procmirror.stack.sample import ARCHITECTURES, Sample, attributes, parsed
from procmirror.stack.snapshot import Thread
from procmirror.stack.target import Target

SECONDS = 0.05  # for one thread
SECONDS_OF_ALL = 0.25
_ASLEEP = f"running, but not within {SECONDS * 1000:.0f} ms of its sample"
_NO_TIME = f"running; the {SECONDS_OF_ALL * 1000:.0f} ms for samples are over"


class Samples:
    """What is left of the time."""

    def __init__(self, target: Target, architecture: str) -> None:
        self._target = target
        self._architecture = architecture
        self._left = SECONDS_OF_ALL

    def of(self, thread: Thread, tid: int) -> Sample | str:
        """A sample of a running thread, or why there is none.

        `tid` is its number in the procfs.
        """
        if self._architecture not in ARCHITECTURES:
            return "running; samples of this architecture are not decoded"
        if self._left < SECONDS / 2:
            return _NO_TIME
        began = self._target.clock()
        try:
            return self._taken(thread, tid) or _ASLEEP
        except OSError as refused:
            return f"running{_refusal(refused)}"
        finally:
            self._left -= self._target.clock() - began

    def _taken(self, thread: Thread, tid: int) -> Sample | None:
        """A sample with the calls in the kernel, else without these.

        FileNotFoundError or ProcessLookupError if the thread has ended: the number may have been
        another's by then.
        """
        for kernel in (True, False):
            try:
                wanted = attributes(self._architecture, kernel=kernel)
                record = self._target.sample(tid, wanted, SECONDS)
            except PermissionError:
                if kernel:
                    continue
                raise
            thread.read("comm")
            try:
                if record is None:
                    return None
                return parsed(record, self._architecture, kernel=kernel)
            except (struct.error, OverflowError):
                raise OSError(errno.EIO, "a record that is cut off") from None
        return None


def _refusal(refused: OSError) -> str:
    """Why there is no sample, in words that go on after "running"."""
    if refused.errno == errno.EOPNOTSUPP:
        return ""
    if refused.errno in {errno.EACCES, errno.EPERM}:
        return "; a sample is not permitted (kernel.perf_event_paranoid)"
    return f"; no sample: {refused.strerror}"
