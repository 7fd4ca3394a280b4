"""What a stack costs, as counts: of calls of the package's functions, of reads, and of bytes read.

A count is the same on a slow or loaded machine. Clocks stand still, so that no limit of time is
met; separate debug files and all but a few other processes are left out, of which each machine has
others. Calls of other functions do not count: the collector of garbage makes some at any moment,
for what other tests have left, and a pattern that is not in the cache of `re` thousands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import FrameType
from typing import NamedTuple

import procmirror
from procmirror.decoding.view import Machine
from procmirror.stack.process import FILES
from procmirror.stack.target import MappedFile
from procmirror.views.pid import stack
from tests.live_target import LiveTarget
from tests.stack.targets import available, compiled, running

COMMANDS = (
    ["sleep", "1000"],
    ["cat"],
    ["bash", "-c", "read x; true"],
    ["perl", "-e", "sleep 1000"],
    ["sort"],
)
_PACKAGE = os.path.dirname(procmirror.__file__)
_FOUR_THREADS = """import threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(600,)).start()
time.sleep(600)"""


class Cost(NamedTuple):
    """What one reading took: calls of functions, reads of the process, bytes of these."""

    calls: int
    reads: int
    size: int


class _CountingTarget(LiveTarget):
    """A process whose reads are counted, without clocks and separate debug files.

    It is the only one on the machine: this one has more descriptors the more tests it has run.
    """

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.count = self.total = 0
        self._number = directory.rpartition("/")[2]

    def names(self, path: str) -> list[str]:
        if path.startswith("../"):
            return [self._number] if path == "../" else []
        return super().names(path)

    def _counted(self, content: bytes) -> bytes:
        self.count += 1
        self.total += len(content)
        return content

    def read(self, path: str) -> bytes:
        return self._counted(super().read(path))

    def part(self, path: str, offset: int, size: int) -> bytes:
        return self._counted(super().part(path, offset, size))

    def debug_file(self, build_id: str) -> MappedFile | None:
        del build_id
        return None

    def debug_links(self, path: bytes, name: bytes) -> Iterator[MappedFile]:
        del path, name
        return iter(())

    def clock(self) -> float:
        return 0.0


def cost(pid: int, *, cold: bool = False) -> Cost:
    """The cost of the whole `.txt`; `cold` if nothing is known of any file."""
    if cold:
        FILES.forget()
    target, calls = _CountingTarget(f"/proc/{pid}"), 0

    def called(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(_PACKAGE)

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        "".join(stack.text(stack.join(target, Machine()), Machine()))
    finally:
        sys.setprofile(before)
    return Cost(calls, target.count, target.total)


def test_a_process_of_one_thread() -> None:
    cold, warm = [], []
    for command in COMMANDS:
        with running(available(command[0]), *command[1:]) as pid:
            cold.append(cost(pid, cold=True))
            warm.append(cost(pid))
    assert median(one.calls for one in cold) <= 4_000
    assert median(one.calls for one in warm) <= 2_130
    assert median(one.reads for one in warm) <= 24
    assert median(one.size for one in warm) <= 20 << 10


def test_a_hundred_threads(tmp_path: Path) -> None:
    with running(compiled("threads.cpp", tmp_path, "-O2"), "17", threads=103) as pid:
        cost(pid)
        warm = cost(pid)
    assert warm.calls <= 102_000
    assert warm.reads <= 1_900
    assert warm.size <= 1 << 20


def test_four_threads_of_python() -> None:
    with running(sys.executable, "-c", _FOUR_THREADS, threads=4) as pid:
        cost(pid)
        warm = cost(pid)
    assert warm.calls <= 7_200
    assert warm.reads <= 114
    assert warm.size <= 220 << 10


def test_what_is_known_of_files_stays_within_its_limit() -> None:
    assert FILES.weight <= FILES.limit == 64 << 20
