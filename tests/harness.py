"""What every kind of test needs: the root of the project, waiting, and facts about processes.

The standard library only, so that the programs of tests can import it in any environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[1]
# The longest wait, in seconds, for what comes within a moment on an idle machine; an emulated
# processor needs a multiple of it, and a test that a fault lets wait a part.
DEADLINE = 60.0 * float(os.environ.get("PROCMIRROR_TESTS_SLOWER", "1"))
_BETWEEN_LOOKS = 0.02
# nanosleep, clock_nanosleep and, for ever, pause of x86-64; ppoll of what shares its numbers.
_SLEEPING = {"35", "230", "34"} if os.uname().machine == "x86_64" else {"101", "115", "73"}
Found = TypeVar("Found")
Told = TypeVar("Told")


def load() -> float:
    """How many times slower than idle the machine may be: runnable tasks per processor, 1 to 8."""
    return min(8.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def beside() -> float:
    """How many times longer a promise of time may take: three times where `make test` runs others.

    These load the machine too, at any moment; alone (`make attack`) it is the promise itself.
    """
    return 3.0 if os.environ.get("PROCMIRROR_BESIDE") else 1.0


def runnable() -> float:
    """How many tasks for each processor run or wait for one at this moment, at least 1.

    Unlike `load` it knows nothing of the last minute, nor of this process.
    """
    looks = []
    for _ in range(5):
        time.sleep(_BETWEEN_LOOKS)
        looks.append(int(Path("/proc/loadavg").read_text("ascii").split()[3].partition("/")[0]) - 1)
    return max(1.0, sum(looks) / len(looks) / (os.cpu_count() or 1))


class Limit:
    """A time in seconds that something may take, longer on a machine that is loaded, or becomes so.

    The load is a mean of the last minute: at its beginning it does not tell of programs that have
    just begun.
    """

    def __init__(self, seconds: float) -> None:
        self._began, self._seconds, self._load = time.monotonic(), seconds, 1.0

    def left(self) -> float:
        """How many seconds are left, with the highest load so far; not above zero at the end."""
        self._load = max(self._load, load())
        return self._began + self._seconds * self._load - time.monotonic()


def comes_true(condition: Callable[[], object], seconds: float = DEADLINE) -> bool:
    """Whether a condition holds within a time, which is longer on a loaded machine."""
    limit = Limit(seconds)
    while not condition():
        if limit.left() <= 0:
            return False
        time.sleep(_BETWEEN_LOOKS)
    return True


def until(
    wanted: Callable[[], Found | None], what: str = "it does not come", seconds: float = DEADLINE
) -> Found:
    """Wait until `wanted` gives something true, and return it.

    Raises AssertionError with the text `what` after a time, which is longer on a loaded machine.
    """
    limit = Limit(seconds)
    while not (found := wanted()):
        assert limit.left() > 0, what
        time.sleep(_BETWEEN_LOOKS)
    return found


def steady(theirs: Callable[[], Told], ours: Callable[[], Found]) -> tuple[Told, Found]:
    """What somebody else says of what others may change, and what we read while it stood still.

    `theirs` is asked before and after `ours`, again until it says the same twice. Raises
    AssertionError if it never does.
    """

    def both() -> list[tuple[Told, Found]]:
        before, found = theirs(), ours()
        return [(before, found)] if theirs() == before else []

    return until(both, "it does not stand still")[0]


def at_last(wanted: Found, read: Callable[[], Found]) -> Found:
    """What a reading gives: `wanted` as soon as it does, else what it gives after a wait.

    For what the kernel may leave out of a list that others change while it is read.
    """
    limit = Limit(DEADLINE)
    while (found := read()) != wanted and limit.left() > 0:
        time.sleep(_BETWEEN_LOOKS)
    return found


def stat_fields(stat: bytes) -> list[bytes]:
    """The fields of a /proc/PID/stat after the name of the program: state, parent, ….

    The name is the only field that may contain blanks and brackets (proc_pid_stat(5)).
    """
    return stat.rpartition(b")")[2].split()


def stat_of(pid: int) -> list[bytes]:
    """The fields of a process after its name; empty if it is gone."""
    try:
        return stat_fields(Path(f"/proc/{pid}/stat").read_bytes())
    except OSError:
        return []


def state_of(pid: int) -> str:
    """The state letter of a process; empty if it is gone."""
    return b"".join(stat_of(pid)[:1]).decode()


def parent_of(pid: int) -> int:
    """The pid of the parent of a process; 0 if it is gone."""
    return int(b"".join(stat_of(pid)[1:2]) or b"0")


def rests(pid: int) -> bool:
    """Whether a process waits in sleep(1), which it does for as long as it was told to.

    The dynamic linker has done its work by then. True if this user may not know.
    """
    try:
        call = Path(f"/proc/{pid}/syscall").read_text("ascii").partition(" ")[0]
    except OSError:
        return True
    return call in _SLEEPING


def ended(pid: int) -> bool:
    """Whether a process is gone or has only to be waited for by its parent."""
    return state_of(pid) in {"", "Z", "X"}
