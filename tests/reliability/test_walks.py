"""Whole-tree tools end: nothing blocks for ever, and a stuck process costs them little."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.harness import load
from tests.mounting import Mount
from tests.reliability.mirrors import at_once, mirrored
from tests.reliability.readers import Job, Readers, ask, piece, read
from tests.reliability.stuck import stuck

WORD = "a-word-that-stands-nowhere"


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


def run(seconds: float, *command: object) -> tuple[int, bytes]:
    """Exit status (124 when it did not end) and output."""
    ended = subprocess.run(
        ["timeout", "-k", "2", str(seconds), *map(str, command)],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return ended.returncode, ended.stdout


def test_kmsg_gives_what_is_there_and_holds_up_nobody(own_mirror: Mount) -> None:
    answers = ask(
        [Job([read(own_mirror.path / "kmsg"), read(own_mirror.path / "self/status")])] * 4, 5
    )
    assert {job[0].error for job in answers} <= {"", "EAGAIN"}
    assert {job[1].error for job in answers} == {""}
    assert max(answer.seconds for job in answers for answer in job) < 2 * load()


def test_find_over_everything_with_a_stuck_target_ends(own_mirror: Mount) -> None:
    with stuck() as (target,):
        status, found = run(40 * load(), "find", own_mirror.path)
    names = found.splitlines()
    assert status != 124
    assert f"{own_mirror.path}/{target.pid}/task/{target.pid}/smaps.json".encode() in names
    assert len(names) > 5000


def test_grep_over_a_stuck_target_ends(own_mirror: Mount) -> None:
    with stuck() as (target,):
        status, found = run(45 * load(), "grep", "-rsI", WORD, own_mirror.path / str(target.pid))
        (answer,) = Readers([Job([read(own_mirror.path / "self/environ")])], 5).answers()
    assert status in {1, 2}
    assert found == b""
    assert answer and answer[0].error == ""


def test_grep_over_the_system_part_ends(own_mirror: Mount) -> None:
    folders = [
        name
        for name in own_mirror.path.iterdir()
        if not name.name.isdigit() and not name.is_symlink()
    ]
    start = time.monotonic()
    status, _ = run(60 * load(), "grep", "-rsI", WORD, *folders)
    assert status in {1, 2}, time.monotonic() - start


def test_endless_files_do_not_hold_up_others(own_mirror: Mount) -> None:
    endless = [
        Job([read(own_mirror.path / name)] * 3)
        for name in ("kpagecount", "kpageflags", "kmsg", "kallsyms", "self/pagemap")
    ]
    readers = Readers(endless, 30)
    (answers,) = ask(
        [
            Job(
                [
                    read(own_mirror.path / "self/environ.txt"),
                    piece(own_mirror.path / "1/status", 0),
                    # How long the machine itself makes a reader wait.
                    read("/proc/self/environ"),
                ]
                * 100
            )
        ]
    )
    assert None not in readers.answers()
    assert {answer.error for answer in answers} == {""}
    busy = max(answer.seconds for answer in answers[2::3])
    assert max(answer.seconds for answer in answers) < at_once() + 4 * busy
