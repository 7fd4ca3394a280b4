"""A process that is killed while somebody reads about it: whoever takes its memory down waits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import load, state_of
from tests.mounting import Mount
from tests.reliability.mirrors import at_once, mirrored
from tests.reliability.readers import Job, ask, read
from tests.reliability.stuck import stuck

# Workers of other mirrors would read the targets as they are killed, and wait.
pytestmark = pytest.mark.alone
OWNER, OTHER, BYSTANDER = 61007, 61008, 61009
# Each second or third is the moment that is looked for, on a quiet machine.
TARGETS = 40
READS = 2000


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


@contextlib.contextmanager
def killed_while_read(path: Callable[[int], Path]) -> Iterator[tuple[int, int]]:
    """A target that is killed while another process reads a file of it; the pids of both."""
    with contextlib.ExitStack() as afterwards, stuck(user=OWNER, kind="aio") as (target,):
        reader = subprocess.Popen(
            ["cat", *[str(path(target.pid))] * READS],
            user=OTHER,
            extra_groups=[],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # The kernel lets go of a reader when the server of the file has ended.
        afterwards.callback(reader.wait, 60 * load())
        afterwards.callback(reader.kill)
        time.sleep(0.1)
        os.kill(target.pid, signal.SIGKILL)
        time.sleep(0.2)
        yield target.pid, reader.pid


def in_last_wait(pid: int) -> bool:
    """Whether a thread of a process takes memory down and waits for I/O."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            if "exit_aio" in thread.joinpath("stack").read_text():
                return True
        except OSError:
            continue
    return False


def test_natively_a_reader_takes_its_memory_down() -> None:
    """The kernel has the last reader wait for the I/O of the process; not even SIGKILL ends it."""
    for _ in range(TARGETS):
        with killed_while_read(lambda pid: Path(f"/proc/{pid}/status")) as (_, reader):
            os.kill(reader, signal.SIGKILL)
            time.sleep(0.2)
            if state_of(reader) == "D" and in_last_wait(reader):
                return
    pytest.fail("no reader was the last")


# The moments of `statm` and `coredump_filter` are too short for a test, and a view of so long a
# status is being decoded most of the time.
def test_who_reads_meanwhile_holds_nobody_up(own_mirror: Mount) -> None:
    names = ("loadavg", "self/status", f"{os.getpid()}/status", f"{os.getpid()}/limits", "net/dev")
    bystander = [read(own_mirror.path / one) for one in names] * 5
    for _ in range(TARGETS):
        with killed_while_read(lambda pid: own_mirror.path / f"{pid}/status"):
            (answers,) = ask([Job(bystander, BYSTANDER)], 10.0)
            is_met = any(map(in_last_wait, own_mirror.processes()))
        assert {answer.error for answer in answers} == {""}
        assert max(answer.seconds for answer in answers) < at_once()
        if is_met:
            return
    pytest.fail("the moment was not met")
