"""Whoever is killed, whenever: the worker, the forking process, the requester, the daemon."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import ROOT, comes_true, state_of, until
from tests.mounting import Mount
from tests.reliability.mirrors import RESTING, descriptors_of, forge_of, mirrored, workers_of
from tests.reliability.readers import Job, Readers, ask, names, piece, read
from tests.reliability.stuck import stuck

# Those of the attacks stop whatever has their ids.
USER = 61003

LIMIT = 10.0


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


def everything(own_mirror: Mount) -> Job:
    folder = own_mirror.path / str(os.getpid())
    return Job(
        [
            read(folder / "environ"),
            read(folder / "environ.txt"),
            read(folder / "smaps.json"),
            names(folder / "map_files"),
        ]
    )


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_worker_killed_while_it_waits_costs_its_request_an_eio(own_mirror: Mount) -> None:
    with stuck() as (target,):
        reader = Readers([Job([read(own_mirror.path / f"{target.pid}/cmdline")])], LIMIT)
        kill(until(lambda: [pid for pid in workers_of(own_mirror) if state_of(pid) == "D"])[0])
        (answers,) = reader.answers()
    assert answers
    assert answers[0].error == "EIO", "not the end of the time for an answer"
    ask([everything(own_mirror)])


def test_workers_killed_at_any_moment_cost_an_eio_and_are_replaced(own_mirror: Mount) -> None:
    job = Job(everything(own_mirror).steps * 60)
    readers = Readers([job] * 4, 30)
    chance = random.Random(7)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for pid in workers_of(own_mirror):
            kill(pid)
        time.sleep(chance.uniform(0, 0.06))
    answers = readers.answers()
    assert None not in answers
    given = [answer.error for job in answers if job for answer in job]
    assert set(given) <= {"", "EIO"}
    assert "EIO" in given
    ((*after,),) = ask([everything(own_mirror)])
    assert {answer.error for answer in after} == {""}


def test_the_forking_process_killed_is_replaced(own_mirror: Mount) -> None:
    forge = forge_of(own_mirror)
    kill(forge)
    # Its workers go with it, so the next requests need others.
    answers = [answer for _ in range(4) for answer in ask([everything(own_mirror)])[0]]
    assert {answer.error for answer in answers} <= {"", "EIO"}
    ((*after,),) = ask([everything(own_mirror)])
    assert {answer.error for answer in after} == {""}
    assert forge_of(own_mirror) != forge
    assert comes_true(lambda: state_of(forge) == ""), "nobody waited for it"
    assert comes_true(lambda: len(own_mirror.processes()) <= RESTING)


def test_workers_that_served_a_user_end_with_the_process_that_forked_them(
    own_mirror: Mount,
) -> None:
    """The kernel forgets whose end they are to follow when their ids change back."""
    ask([Job([read(own_mirror.path / "self/smaps.json")] * 3, user=USER)])
    workers = workers_of(own_mirror)
    assert workers
    kill(forge_of(own_mirror))
    # Those that the daemon does not need end later.
    assert comes_true(lambda: not any(state_of(pid) for pid in workers), 1)


def test_requesters_killed_in_the_middle_leak_nothing(own_mirror: Mount) -> None:
    ask([everything(own_mirror)])
    descriptors = descriptors_of(own_mirror)
    with stuck() as (target,):
        folder = own_mirror.path / str(target.pid)
        waiting = [
            Job([read(folder / entry)]) for entry in ("cmdline", "environ.txt", "smaps.json", "mem")
        ]
        readers = Readers([*waiting, *[Job(everything(own_mirror).steps * 500)] * 4], 30)
        time.sleep(1)
        readers.kill()
    comes_true(
        lambda: (
            len(own_mirror.processes()) <= RESTING
            and descriptors_of(own_mirror) <= descriptors + 2 * RESTING
        ),
    )
    assert len(own_mirror.processes()) <= RESTING
    assert descriptors_of(own_mirror) <= descriptors + 2 * RESTING


def test_no_process_but_the_daemon_holds_the_device(own_mirror: Mount) -> None:
    ask([everything(own_mirror)])
    holders = set()
    for pid in own_mirror.processes():
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(entry.readlink()) == "/dev/fuse":
                    holders.add(pid)
    assert holders == {own_mirror.daemon}


@contextlib.contextmanager
def abandoned() -> Iterator[Mount]:
    """A mirror in the background whose daemon the test kills."""
    folder = Path(tempfile.mkdtemp(prefix="procmirror-"))
    point = folder / "proc"
    point.mkdir()
    try:
        yield Mount(point, start(point), folder / "log")
    finally:
        subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder)


def start(point: Path) -> int:
    """Mount in the background; the daemon's pid."""
    subprocess.run(
        [sys.executable, "-m", "procmirror", point],
        cwd=ROOT,
        check=True,
        timeout=30,
        close_fds=True,
    )
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().split(b"\0")
            if (
                os.fsencode(point) in command
                and (folder / "stat").read_text(encoding="utf-8").split()[3] == "1"
            ):
                return int(folder.name)
    raise AssertionError("no daemon")


@pytest.mark.parametrize("lure", [False, True], ids=["killable", "unkillable"])
def test_a_daemon_killed_while_a_worker_is_busy_leaves_a_mount_that_the_next_start_takes(
    *, lure: bool
) -> None:
    with abandoned() as own_mirror:
        with stuck(lure=lure) as (target,):
            reader = Readers(
                [Job([piece(own_mirror.path / f"{target.pid}/mem", target.address)])], LIMIT
            )
            assert comes_true(
                lambda: any(state_of(pid) == "D" for pid in workers_of(own_mirror)) or lure
            )
            time.sleep(0.5)
            family = own_mirror.processes()
            kill(own_mirror.daemon)
            (answers,) = reader.answers()
            assert answers and answers[0].error in {"ECONNABORTED", "ENOTCONN"}
            left = 1 if lure else 0
            assert comes_true(
                lambda: len([pid for pid in family if state_of(pid) not in {"", "Z"}]) == left
            )
            with pytest.raises(OSError, match="not connected"):
                os.stat(own_mirror.path)
        assert comes_true(lambda: not [pid for pid in family if state_of(pid) not in {"", "Z"}])
        daemon = start(own_mirror.path)
        assert (own_mirror.path / "self/status.json").read_bytes()
        subprocess.run(["umount", own_mirror.path], check=True, timeout=20)
        assert comes_true(lambda: state_of(daemon) in {"", "Z"})
