"""What the daemon and its workers are themselves: they hold others' secrets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import comes_true
from tests.mounting import Mount
from tests.reliability.mirrors import living, mirrored
from tests.reliability.readers import Job, Readers, ask, read
from tests.reliability.stuck import stuck

STRANGER = 61004
SECRET = "s3cr3t"
# What a careless caller leaves to the command: a descriptor, a variable.
CARELESS = (
    "import os, sys; os.memfd_create('inherited', 0)\n"
    f"os.execve(sys.executable, [sys.executable, *sys.argv[1:]], {{**os.environ, 'TOKEN': '{SECRET}'}})"
)


@pytest.fixture(scope="module")
def mirror() -> Iterator[Mount]:
    with mirrored(program=("-c", CARELESS, "-m", "procmirror")) as mount:
        ask(
            [
                Job(
                    [
                        read(mount.path / "self/environ.txt"),
                        read(mount.path / f"{mount.daemon}/status"),
                    ]
                )
            ]
        )
        yield mount


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_no_process_can_gain_rights_or_pass_them_on(mirror: Mount) -> None:
    for pid in living(mirror):
        said = status(pid)
        assert said["NoNewPrivs"] == "1"
        assert all(int(said[name], 16) == 0 for name in ("CapInh", "CapAmb", "CapBnd"))
        # What parses others' files has none and is no process of root's.
        own = 0 if said["Uid"].split()[0] != "0" else int(status(os.getpid())["CapPrm"], 16)
        assert int(said["CapPrm"], 16) == own


def test_no_process_dumps_core(mirror: Mount) -> None:
    for pid in living(mirror):
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8").splitlines()
        assert next(
            line.split()[4:6] for line in limits if line.startswith("Max core file size")
        ) == ["0", "0"]


def test_no_process_is_dumpable() -> None:
    # The files of a process that is not belong to root's group, whatever group it runs with.
    become = f"import os, sys; os.setgid({STRANGER}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    with subprocess.Popen(
        [sys.executable, "-c", become, "-c", "input()"], stdin=subprocess.PIPE
    ) as ordinary:
        assert comes_true(lambda: os.stat(f"/proc/{ordinary.pid}/environ").st_gid == STRANGER, 10)
    with mirrored(program=("-c", become, "-m", "procmirror")) as mount:
        ask([Job([read(mount.path / "self/environ.txt")])])
        assert {os.stat(f"/proc/{pid}/environ").st_gid for pid in living(mount)} == {0}


def test_descriptors_and_environment_of_the_caller_do_not_stay(mirror: Mount) -> None:
    for pid in living(mirror):
        targets = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert not any("inherited" in target for target in targets)
        assert SECRET not in Path(f"/proc/{pid}/environ").read_text(
            encoding="utf-8", errors="replace"
        )


def test_log_lines_are_rate_limited_and_show_nothing_of_other_processes(mirror: Mount) -> None:
    before = len(mirror.log.read_text(encoding="utf-8").splitlines())
    marker = "m4rker"
    with stuck() as (target,):
        start = time.monotonic()
        steps = [
            read(mirror.path / f"{target.pid}/{entry}")
            for entry in ("cmdline", "environ.txt", "smaps.json")
        ]
        environment = {**os.environ, "SHOWN": marker}
        with subprocess.Popen(["sleep", "30", marker], env=environment) as sleeper:
            steps += [
                read(mirror.path / f"{sleeper.pid}/{entry}") for entry in ("environ.txt", "cmdline")
            ] * 20
            assert None not in Readers([Job(steps)] * 40, 20).answers()
            sleeper.kill()
        seconds = time.monotonic() - start
    lines = mirror.log.read_text(encoding="utf-8").splitlines()[before:]
    assert len(lines) <= seconds + 2
    assert marker not in "".join(lines)
