"""A cgroup in which memory is short (cgroup-v1/memory, cgroup-v2 of the kernel's documentation)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_TOP = Path("/sys/fs/cgroup")
# Where the group is made, and the names of the files with its limit and with the number of its kills.
_KINDS = (
    (_TOP / "memory", "memory.limit_in_bytes", "memory.oom_control"),
    (_TOP, "memory.max", "memory.events"),
)


class MemoryGroup:
    """A cgroup with a limit of the memory of its processes."""

    def __init__(self, path: Path, limit: str, events: str) -> None:
        self.path, self._limit, self._events = path, limit, events

    def take(self, pids: Sequence[int]) -> None:
        """Move processes here: what they have already is not counted."""
        for pid in pids:
            self._write("cgroup.procs", pid)

    def limit(self, size: int) -> None:
        """Allow so many bytes, and none in the swap space."""
        self._write(self._limit, size)
        for name, most in (("memory.swap.max", 0), ("memory.memsw.limit_in_bytes", size)):
            with suppress(OSError):
                self._write(name, most)

    def killed(self) -> int:
        """How many processes the kernel has ended here because memory was short."""
        lines = (self.path / self._events).read_text(encoding="ascii").splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    def _write(self, name: str, value: int) -> None:
        (self.path / name).write_text(str(value), encoding="ascii")


@contextmanager
def memory_group() -> Iterator[MemoryGroup | None]:
    """A new group, None where this machine lets none be made. Its processes end within the block."""
    group = next(filter(None, (_made(*kind) for kind in _KINDS)), None)
    try:
        yield group
    finally:
        if group:
            group.path.rmdir()


def _made(top: Path, limit: str, events: str) -> MemoryGroup | None:
    path = top / f"procmirror-{os.getpid()}"
    with suppress(OSError):
        path.mkdir()
        if (path / limit).exists():
            return MemoryGroup(path, limit, events)
        path.rmdir()
    return None
