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

from tests.harness import DEADLINE, load, state_of
from tests.mounting import Mount
from tests.reliability.mirrors import at_once, mirrored
from tests.reliability.readers import Job, ask, read
from tests.reliability.stuck import stuck

OWNER, OTHER = 61007, 61008
# Each second or third is the moment that is looked for.
TARGETS = 8
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
        afterwards.callback(reader.wait, DEADLINE * load())
        afterwards.callback(reader.kill)
        time.sleep(0.1)
        os.kill(target.pid, signal.SIGKILL)
        time.sleep(0.2)
        yield target.pid, reader.pid


def test_natively_a_reader_takes_its_memory_down() -> None:
    """The kernel has the last reader wait for the I/O of the process; not even SIGKILL ends it."""
    states = []
    for _ in range(TARGETS):
        with killed_while_read(lambda pid: Path(f"/proc/{pid}/status")) as (_, reader):
            os.kill(reader, signal.SIGKILL)
            time.sleep(0.2)
            states.append(state_of(reader))
    assert "D" in states


# The moment of `statm` and `coredump_filter` is too short for a test.
@pytest.mark.parametrize("name", ["status", "status.json"])
def test_who_reads_meanwhile_holds_nobody_up(own_mirror: Mount, name: str) -> None:
    bystander = [read(own_mirror.path / "loadavg"), read(own_mirror.path / "self/status")] * 10
    for _ in range(TARGETS):
        with killed_while_read(lambda pid: own_mirror.path / f"{pid}/{name}"):
            (answers,) = ask([Job(bystander, OTHER)], 10.0)
        assert {answer.error for answer in answers} == {""}
        assert max(answer.seconds for answer in answers) < at_once()
