"""The user ids of a process, against what its status says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from procmirror.identity.process_ids import NOT_TOLD, user_ids


def told(pid: int) -> tuple[int, ...]:
    """The ids, where this kernel tells them."""
    try:
        return user_ids(pid)
    except OSError as refused:
        if refused.errno in NOT_TOLD:
            pytest.skip("before Linux 6.13")
        raise


def in_status(pid: int) -> tuple[int, ...]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("Uid:"))
    return tuple(map(int, line.split()[1:]))


def test_they_are_those_of_its_status() -> None:
    assert told(os.getpid()) == in_status(os.getpid()) == (os.getuid(),) * 4


@pytest.mark.root
def test_each_has_its_place() -> None:
    """Real, effective, saved, and that for files."""
    script = "import os,ctypes,time; os.setresuid(11,0,33); ctypes.CDLL(None).setfsuid(44); print(flush=True); time.sleep(60)"
    with subprocess.Popen(["python3", "-c", script], stdout=subprocess.PIPE, group=55) as process:
        try:
            assert process.stdout and process.stdout.readline()
            assert told(process.pid) == in_status(process.pid) == (11, 0, 33, 44)
        finally:
            process.kill()


def test_of_a_process_that_has_ended_there_are_none() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(OSError, match=r"No such process|Invalid"):
        user_ids(process.pid)
