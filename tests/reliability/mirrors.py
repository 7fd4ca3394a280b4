"""Mirrors that a test may ill-treat.

What they cost is measured, and none of them can hold up the test for ever.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.harness import beside, load, parent_of, state_of
from tests.mounting import Mount, mounted

# At rest: the daemon, the zygote, the forking process, the server of parsers, at most two workers.
RESTING = 6
_CONNECTIONS = Path("/sys/fs/fuse/connections")
_alive: list[Mount] = []


@contextlib.contextmanager
def mirrored(
    *options: str, quiet: bool = False, program: Sequence[str] = ("-m", "procmirror")
) -> Iterator[Mount]:
    """A mirror of its own, that `end_all` knows.

    Unless `quiet`, it may complain in its log, but not in tracebacks.
    """
    with mounted(*options, quiet=quiet, program=program) as mount:
        _alive.append(mount)
        try:
            yield mount
        finally:
            _alive.remove(mount)
        assert "Traceback" not in mount.log.read_text(errors="replace")


def end_all() -> None:
    """Let go of everybody who waits for a mirror: abort its connection, kill its daemon."""
    for mount in _alive:
        for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
            fields = line.split()
            if fields[4] == str(mount.path):
                with contextlib.suppress(OSError):
                    (_CONNECTIONS / fields[2].partition(":")[2] / "abort").write_text(
                        "1", encoding="ascii"
                    )
        with contextlib.suppress(OSError):
            os.kill(mount.daemon, signal.SIGKILL)


def living(mount: Mount) -> list[int]:
    """The daemon and its descendants, but for the dead."""
    return [pid for pid in mount.processes() if state_of(pid) not in {"", "Z", "X"}]


def forge_of(mount: Mount) -> int:
    """The forking process: the child of the daemon that has children itself; 0 without one.

    So has the zygote for a moment, which is not ended before the daemon where memory is short.
    """
    parents = {parent_of(pid) for pid in mount.processes()}
    mine = (pid for pid in living(mount) if parent_of(pid) == mount.daemon)
    return next((pid for pid in mine if pid in parents and _is_ended_early(pid)), 0)


def _is_ended_early(pid: int) -> bool:
    try:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="ascii")) > 0
    except OSError:
        return False


def zygote_of(mount: Mount) -> int:
    """The process that forks the forking process."""
    forge = forge_of(mount)
    return next(pid for pid in living(mount) if parent_of(pid) == mount.daemon and pid != forge)


def workers_of(mount: Mount) -> list[int]:
    """The workers."""
    forge = forge_of(mount)
    return [pid for pid in mount.processes() if parent_of(pid) == forge and not _computes(pid)]


def parser_server_of(mount: Mount) -> int:
    """The server of parsers, 0 while there is none."""
    forge = forge_of(mount)
    return next((pid for pid in mount.processes() if parent_of(pid) == forge and _computes(pid)), 0)


def _computes(pid: int) -> bool:
    """Whether a process is no worker, but one that parses without rights."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return False
    return not lines[lines.index("CapPrm:") + 1].strip("0")


def threads_of(pid: int) -> int:
    """How many threads a process has, 0 if it is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def tasks_of(mount: Mount) -> int:
    """Threads of the daemon and all its descendants."""
    count = 0
    for pid in mount.processes():
        with contextlib.suppress(OSError):
            count += len(os.listdir(f"/proc/{pid}/task"))
    return count


def descriptors_of(mount: Mount) -> int:
    """Open files of the daemon."""
    return len(os.listdir(f"/proc/{mount.daemon}/fd"))


def descriptors_without_living(mount: Mount) -> int:
    """Open files of the daemon, but for the directories of processes that live."""
    count = 0
    for entry in Path(f"/proc/{mount.daemon}/fd").iterdir():
        with contextlib.suppress(OSError):
            held = entry.readlink()
            count += not (held.name.isdigit() and state_of(int(held.name)))
    return count


def memory_of(mount: Mount) -> int:
    """PSS of the daemon and all its descendants, in bytes."""
    total = 0
    for pid in mount.processes():
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def sizes_of(mount: Mount) -> dict[int, int]:
    """RSS of the daemon and each of its descendants, in bytes, by process id."""
    sizes = {}
    for pid in mount.processes():
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
            sizes[pid] = pages * resource.getpagesize()
    return sizes


def growth(before: dict[int, int], mount: Mount) -> int:
    """How many bytes the process grew that grew most.

    One that is new is compared with the largest of those before: all have the same modules. A
    worker that was not needed before is no growth, as that of PSS would be.
    """
    largest = max(before.values())
    return max(size - before.get(pid, largest) for pid, size in sizes_of(mount).items())


def at_once() -> float:
    """The second within which others are answered.

    Longer on a machine whose processors are wanted by many besides us.
    """
    return max(min(4.0, load()), beside())
