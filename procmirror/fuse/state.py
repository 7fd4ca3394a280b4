"""What the daemon counts about itself, for `--status` and for the service manager."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

import msgspec

from procmirror import __version__
from procmirror.fuse.counts import Counts
from procmirror.identity.files import READ
from procmirror.workers.calls import WorkersState
from procmirror.workers.lock_queue import lock_in_words

# At most so many targets and accounts are named, so that the answer stays short.
_MOST_NAMED = 50


class Process(msgspec.Struct, frozen=True):
    """One process of the mirror and its resident memory in bytes."""

    pid: int
    resident: int


class State(msgspec.Struct, frozen=True):
    """The daemon's state.

    `uptime` is in seconds, `slow` are the locks of targets that a request waits for or waited for
    in vain a moment ago, `refused` the accounts whose lookups are refused, `waiting` how many
    requests wait by account (the user id), `processes` the daemon first.
    """

    version: str
    pid: int
    uptime: float
    requests: int
    errors: Mapping[str, int]
    slow: Sequence[str]
    refused: Sequence[int]
    waiting: Mapping[str, int]
    workers: int
    open_files: int
    processes: Sequence[Process]

    @property
    def in_words(self) -> str:
        """A line for a service manager."""
        failed = sum(self.errors.values())
        return (
            f"{self.requests} requests, {failed} errors, {self.workers} workers, "
            f"{len(self.slow)} slow targets"
        )


def state_of(counts: Counts, workers: WorkersState, open_files: int, own: int) -> State:
    """The state now; `own` is a descriptor of the daemon's own procfs."""
    return State(
        version=__version__,
        pid=os.getpid(),
        uptime=round(time.time() - counts.began, 3),
        requests=counts.requests,
        errors=dict(counts.errors),
        slow=[lock_in_words(lock) for lock in workers.slow[:_MOST_NAMED]],
        refused=workers.refused[:_MOST_NAMED],
        waiting={str(account): count for account, count in workers.waiting.items()},
        workers=workers.size,
        open_files=open_files,
        processes=[
            Process(pid, resident)
            for pid in _descendants(own, os.getpid())
            if (resident := _resident(own, pid))
        ],
    )


def _descendants(own: int, pid: int) -> list[int]:
    """A process and all below it, as far as the kernel tells children (CONFIG_PROC_CHILDREN)."""
    found = [pid]
    for one in found:
        found.extend(map(int, _content(own, f"{one}/task/{one}/children").split()))
    return found


def _content(own: int, path: str) -> bytes:
    """The first page of a file, nothing of one that cannot be read."""
    try:
        descriptor = os.open(path, READ, dir_fd=own)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _resident(own: int, pid: int) -> int:
    """Resident memory in bytes, 0 for a process that has ended."""
    pages = _content(own, f"{pid}/statm").split()[1:2]
    return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def encoded(state: State) -> bytes:
    """The state as JSON, a line."""
    return msgspec.json.encode(state) + b"\n"
