"""For how long other programs keep a worker from running: the kernel's run_delay.

A worker in the namespaces of a requester has little time, as the requester can stop it; a worker
that waits for a processor is late through no fault of that requester.
"""

from __future__ import annotations

import math
import os

from procmirror.decoding.proc_files import stat_columns
from procmirror.identity.files import read_file

# Columns of PID/stat behind the name (proc_pid_stat(5): fields 3, 19 and 41).
_STATE, _NICE, _POLICY = 0, 16, 38


def run_delay(own: int, number: bytes) -> float:
    """For how many seconds a process has waited for a processor so far; 0 where that is not told.

    `number` is its name in the procfs `own`. A wait counts when it is over (sched_info_arrive in
    kernel/sched/stats.h).
    """
    return _cpu_time_and_run_delay(own, number)[1]


def _cpu_time_and_run_delay(own: int, number: bytes) -> tuple[float, float]:
    """For how many seconds a process ran so far, and waited for a processor; zeros if not told."""
    try:
        ran, waited = read_file(own, number + b"/schedstat").split()[:2]
        return int(ran) / 1e9, int(waited) / 1e9
    except (OSError, ValueError):
        return 0.0, 0.0


class RunDelay:
    """The waits of a worker for a processor from now on, `seconds` until the last look.

    They count where the worker is scheduled as this process is: the requester may have it wait
    longer by another nice value, policy or affinity. `directory` is that of the worker in the
    procfs `own`: another process that gets its number `pid` is not found there.
    """

    __slots__ = ("_before", "_directory", "_own", "_pid", "seconds")

    def __init__(self, own: int, directory: int, pid: int) -> None:
        self._own, self._directory, self._pid = own, directory, pid
        self._before = _cpu_time_and_run_delay(directory, b".")
        self.seconds = 0.0

    def look(self, passed: float = math.inf) -> bool:
        """Whether it waited for the most part of the time that passed since the last look.

        Or waits now, and did not run for that part.
        """
        before, now = self._before, _cpu_time_and_run_delay(self._directory, b".")
        state, self._before = self._stat(), now
        if state is None:
            return False
        ran, waited = now[0] - before[0], now[1] - before[1]
        self.seconds += waited
        return waited > passed / 2 or (state == b"R" and ran < passed / 2)

    def _stat(self) -> bytes | None:
        """Its state, if it is scheduled as this process is."""
        try:
            found = stat_columns(read_file(self._directory, b"stat"))
            here = stat_columns(read_file(self._own, b"self/stat"))
            alike = os.sched_getaffinity(self._pid) == os.sched_getaffinity(0)
            alike &= found[_NICE] == here[_NICE] and found[_POLICY] == here[_POLICY]
            return found[_STATE] if alike else None
        except (OSError, ValueError, IndexError):
            return None
