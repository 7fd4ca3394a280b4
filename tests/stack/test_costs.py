"""What a stack costs.

Time of the processor for the whole `.txt`, so that other tests do not count, and the best of
several.
"""

from __future__ import annotations

import time
from pathlib import Path

from procmirror.decoding.view import Machine
from procmirror.stack.process import FILES
from procmirror.views.pid import stack
from tests.live_target import LiveTarget
from tests.stack.targets import available, compiled, running

COMMANDS = (
    ["sleep", "1000"],
    ["cat"],
    ["bash", "-c", "read x; true"],
    ["perl", "-e", "sleep 1000"],
    ["python3", "-c", "input()"],
)


def milliseconds(pid: int, *, cold: bool = False) -> float:
    """The cost of one reading; `cold` if nothing is known of any file."""
    if cold:
        FILES.forget()
    before = time.process_time()
    "".join(stack.text(stack.join(LiveTarget(f"/proc/{pid}"), Machine()), Machine()))
    return 1000 * (time.process_time() - before)


def test_a_process_of_one_thread() -> None:
    cold, warm = [], []
    for command in COMMANDS:
        with running(available(command[0]), *command[1:]) as pid:
            cold.append(min(milliseconds(pid, cold=True) for _ in range(10)))
            warm.append(min(milliseconds(pid) for _ in range(20)))
    assert sorted(warm)[len(warm) // 2] <= 8
    assert sorted(cold)[len(cold) // 2] <= 40


def test_a_hundred_threads(tmp_path: Path) -> None:
    with running(compiled("threads.cpp", tmp_path, "-O2"), "17", threads=103) as pid:
        milliseconds(pid)
        assert min(milliseconds(pid) for _ in range(8)) <= 600


def test_what_is_known_of_files_stays_within_its_limit() -> None:
    assert FILES.weight <= FILES.limit == 64 << 20
