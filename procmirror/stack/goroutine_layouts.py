"""Where the runtime of each version of Go keeps what is told of a goroutine.

Sources: `g`, `gobuf` and `waitReason` in runtime/runtime2.go of Go 1.18 to 1.27.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

# The reasons for waiting that have been there since 1.18, and what versions have put between them
# and behind.
_FIRST = (
    *("", "GC assist marking", "IO wait", "chan receive (nil chan)", "chan send (nil chan)"),
    *("dumping heap", "garbage collection", "garbage collection scan", "panicwait", "select"),
    *("select (no cases)", "GC assist wait", "GC sweep wait", "GC scavenge wait", "chan receive"),
    *("chan send", "finalizer wait", "force gc (idle)"),
)
_WAITS = ("semacquire", "sleep", "sync.Cond.Wait")
_LOCKS = ("sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock")
_TRACE = ("trace reader (blocked)", "wait for GC cycle", "GC worker (idle)")
_DEBUG = ("preempted", "debug call")
_STOPPING = ("GC mark termination", "stopping the world")
_FLUSHING = (
    *("flushing proc caches", "trace goroutine status", "trace proc status", "page trace flush"),
    "coroutine",
)
_ACTIVE = "GC worker (active)"
_WEAK = "GC weak to strong wait"
_TEST = ("synctest.Run", "synctest.Wait")
_GROUP = "sync.WaitGroup.Wait"


def _synctest(word: str) -> tuple[str, ...]:
    return tuple(f"{one} ({word})" for one in ("chan receive", "chan send", "select"))


_BEFORE_1_20 = (*_FIRST, *_WAITS, "timer goroutine (idle)", *_TRACE, *_DEBUG)
_FROM_1_21 = (*_FIRST, *_WAITS, *_LOCKS, *_TRACE, _ACTIVE, *_DEBUG, *_STOPPING)
_FROM_1_24 = (
    *(*_FIRST, *_WAITS, *_LOCKS, _GROUP, *_TRACE, _ACTIVE, *_DEBUG, *_STOPPING, *_FLUSHING),
    *(_WEAK, *_TEST, *_synctest("synctest")),
)
_FROM_1_25 = (
    *(*_FIRST, "GOMAXPROCS updater (idle)", *_WAITS, *_LOCKS, _GROUP, *_TRACE, _ACTIVE, *_DEBUG),
    *(*_STOPPING, *_FLUSHING, _WEAK, *_TEST, *_synctest("durable"), f"{_GROUP} (durable)"),
    "cleanup wait",
)


_FROM_1_26 = (
    *("", "GC assist marking", "IO wait", "dumping heap", "garbage collection"),
    *("garbage collection scan", "panicwait", "GC assist wait", "GC sweep wait"),
    *("GC scavenge wait", "finalizer wait", "force gc (idle)", "GOMAXPROCS updater (idle)"),
    *("semacquire", "sleep", "chan receive (nil chan)", "chan send (nil chan)"),
    *("select (no cases)", "select", "chan receive", "chan send", "sync.Cond.Wait"),
    *(*_LOCKS, _GROUP, *_TRACE, _ACTIVE, *_DEBUG, *_STOPPING, *_FLUSHING, _WEAK, *_TEST),
    *(*_synctest("durable"), f"{_GROUP} (durable)", "cleanup wait"),
)


class Layout(NamedTuple):
    """Where the fields of `runtime.g` are, in bytes, and the names of `waitreason`."""

    syscall: int
    status: int
    reasons: Sequence[str]

    @property
    def number(self) -> int:
        """Where the number of the goroutine is."""
        return self.status + 8

    @property
    def reason(self) -> int:
        """Where the reason for its waiting is."""
        return self.status + 32


LAYOUTS = {
    18: Layout(112, 144, _BEFORE_1_20),
    19: Layout(112, 144, _BEFORE_1_20),
    20: Layout(112, 144, ()),
    21: Layout(112, 144, _FROM_1_21),
    22: Layout(112, 144, (*_FROM_1_21, *_FLUSHING)),
    23: Layout(112, 152, (*_FROM_1_21, *_FLUSHING, _WEAK)),
    24: Layout(112, 152, _FROM_1_24),
    25: Layout(104, 144, _FROM_1_25),
    26: Layout(104, 144, _FROM_1_26),
    27: Layout(104, 144, _FROM_1_26),
}
