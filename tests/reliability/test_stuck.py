"""A process that nobody can look at holds up neither those who try, nor others, nor the daemon."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.harness import comes_true, state_of
from tests.mounting import Mount
from tests.reliability.mirrors import RESTING, at_once, mirrored, tasks_of, workers_of
from tests.reliability.readers import (
    Answer,
    Job,
    Readers,
    Step,
    ask,
    attributes,
    names,
    piece,
    put,
    read,
)
from tests.reliability.stuck import Stuck, stuck

OWNER, OTHER = 61003, 61004
LIMIT = 10.0
MOST_TASKS = 40
BLOCKED = ("cmdline", "environ.txt", "smaps.json", "mem", "pagemap")


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


def blocked(own_mirror: Mount, target: Stuck) -> list[Step]:
    folder = own_mirror.path / str(target.pid)
    return [*(read(folder / entry) for entry in BLOCKED), names(folder / "map_files")]


def others(own_mirror: Mount, rounds: int, user: int) -> Job:
    """Reads, listings and attributes that have nothing to do with a stuck target."""
    path = own_mirror.path
    steps = [
        read(path / "self/environ.txt"),
        read(path / "self/cmdline"),
        names(path / "self"),
        attributes(path / "1/status"),
    ]
    # The last of each five shows how long the machine itself makes a reader wait.
    return Job([*steps, read("/proc/self/environ")] * rounds, user)


def assert_ended(answers: list[list[Answer]]) -> None:
    given = [answer for job in answers for answer in job]
    assert {answer.error for answer in given} <= {"ETIMEDOUT", "EBUSY"}
    assert max(answer.seconds for answer in given) < LIMIT


def assert_prompt(answers: list[Answer]) -> None:
    assert {answer.error for answer in answers} == {""}
    busy = max(answer.seconds for answer in answers[4::5])
    assert max(answer.seconds for answer in answers) < at_once() + 4 * busy


def assert_recovered(own_mirror: Mount) -> None:
    assert comes_true(lambda: len(own_mirror.processes()) <= RESTING), (
        f"{len(own_mirror.processes())} are left"
    )


def test_natively_such_a_target_holds_up_its_readers() -> None:
    with stuck() as (target,):
        assert (
            subprocess.run(
                ["timeout", "2", "cat", f"/proc/{target.pid}/cmdline"], check=False
            ).returncode
            == 124
        )


def test_forty_readers_of_a_stuck_target_end_and_others_do_not_wait(own_mirror: Mount) -> None:
    ask([others(own_mirror, 2, 0)])
    with stuck(user=OWNER) as (target,):
        steps = (blocked(own_mirror, target) * 7)[:40]
        readers = Readers([Job([step]) for step in steps], LIMIT)
        time.sleep(0.7)
        (prompt,) = ask([others(own_mirror, 75, 0)])
        most = tasks_of(own_mirror)
        answers = readers.answers()
    assert None not in answers
    assert_ended([answer for answer in answers if answer is not None])
    assert len(prompt) == 375
    assert_prompt(prompt)
    assert most <= MOST_TASKS
    assert_recovered(own_mirror)


def test_what_the_kernel_still_answers_is_answered(own_mirror: Mount) -> None:
    with stuck(user=OWNER) as (target,):
        entries = sorted(
            entry
            for entry in os.listdir(f"/proc/{target.pid}")
            if entry not in {"map_files", "task", "mem"}
        )
        folders = {"attr", "fd", "fdinfo", "net", "ns"}

        def steps(root: object) -> list[Step]:
            return [
                (names if entry in folders else read)(f"{root}/{target.pid}/{entry}")
                for entry in entries
            ]

        native = Readers([Job([step]) for step in steps("/proc")], 1.5).answers()
        answered = {
            entry: answer[0].error for entry, answer in zip(entries, native, strict=True) if answer
        }
        assert {"maps", "status", "stat", "stack", "fd"} <= set(answered)
        assert {"cmdline", "smaps", "environ"}.isdisjoint(answered)
        stopped = Readers([Job([step]) for step in blocked(own_mirror, target)], LIMIT)
        time.sleep(0.5)
        mirrored = ask(
            [
                Job([step])
                for entry, step in zip(entries, steps(own_mirror.path), strict=True)
                if entry in answered
            ]
        )
        assert None not in stopped.answers()
    assert {
        entry: answer[0].error for entry, answer in zip(answered, mirrored, strict=True)
    } == answered


def test_thirty_stuck_targets_of_one_user(own_mirror: Mount) -> None:
    ask([others(own_mirror, 2, OTHER)])
    with stuck(30, OWNER) as targets:
        steps = [step for target in targets for step in blocked(own_mirror, target)]
        readers = Readers(
            [Job([step], OWNER) for step in steps if not step[1].endswith("map_files")], 2 * LIMIT
        )
        time.sleep(0.7)
        prompt = ask([others(own_mirror, 38, OTHER), others(own_mirror, 37, 0)])
        most = tasks_of(own_mirror)
        answers = readers.answers()
    assert None not in answers
    assert_ended([answer for answer in answers if answer is not None])
    for answer in prompt:
        assert_prompt(answer)
    assert most <= MOST_TASKS
    assert_recovered(own_mirror)


def test_a_write_that_waits_ends_and_others_are_done() -> None:
    """To forget which pages were used takes the memory lock, to be killed last does not."""
    with mirrored("-o", "write,timeout=1") as own_mirror, stuck(user=OWNER) as (target,):
        folder = own_mirror.path / str(target.pid)
        native = Readers([Job([put(f"/proc/{target.pid}/clear_refs", 1)], OWNER)], 1.5).answers()
        assert native == [None]
        waiting = Readers([Job([put(folder / "clear_refs", 1)], OWNER) for _ in range(8)], LIMIT)
        ((prompt,),) = ask([Job([put(folder / "oom_score_adj", 555)], OWNER)])
        answers = waiting.answers()
        assert None not in answers
        assert_ended([answer for answer in answers if answer is not None])
        assert prompt.error == "" and (prompt.amount, (folder / "oom_score_adj").read_text()) == (
            3,
            "555\n",
        )
        assert_recovered(own_mirror)


def test_a_worker_that_cannot_be_killed_stays_counted_until_it_can(own_mirror: Mount) -> None:
    with stuck(lure=True) as (target,):
        step = piece(own_mirror.path / f"{target.pid}/mem", target.address)
        ((first,),) = ask([Job([step])], LIMIT)
        assert first.error == "ETIMEDOUT"
        assert [state_of(pid) for pid in workers_of(own_mirror)].count("D") == 1
        ((second,),) = ask([Job([step])], LIMIT)
        assert second.error == "EBUSY" and second.seconds < at_once()
    assert_recovered(own_mirror)


@pytest.mark.parametrize("user", [0, OWNER])
def test_views_of_a_stuck_process_say_what_the_kernel_tells_and_what_is_missing(
    own_mirror: Mount, user: int
) -> None:
    with stuck(user=OWNER) as (target,):
        folder = own_mirror.path / str(target.pid)
        views = [
            f"{name}.{suffix}"
            for name in ("stack", "process", "fd", "task", "auxv")
            for suffix in ("txt", "json")
        ]
        busy = ask([Job([read(f"/proc/{target.pid}/status")])])[0][0].seconds
        # Twice: what is remembered of the first time changes nothing.
        (answers,) = ask([Job([read(folder / view) for view in views * 2], user)])
        assert {answer.error for answer in answers} == {""}
        assert max(answer.seconds for answer in answers) < at_once() + 4 * busy
        stack, process, auxv = (
            json.loads((folder / view).read_bytes())
            for view in ("stack.json", "process.json", "auxv.json")
        )
        text = (folder / "stack.txt").read_text(), (folder / "process.txt").read_text()
    first, second = stack["threads"]
    assert first["state"] == "D (disk sleep)" and first["syscall"]["name"] == "mmap"
    assert second["syscall"]["name"] == "pread64" and second["kernel"]
    assert [thread["incomplete"] for thread in stack["threads"]] == [
        [{"part": "mem", "reason": "ETIMEDOUT"}]
    ] * 2
    assert "(no answer in time: " in text[0] and re.search(r"fd=\d+</proc/", text[0])
    assert process["incomplete"] == [{"part": "cmdline", "reason": "ETIMEDOUT"}]
    assert process["status"]["Uid"]["real"] == OWNER and process["io"] and process["ns"]
    assert "command      (no answer in time: " in text[1] and "cmdline: ETIMEDOUT" in text[1]
    (program,) = (entry for entry in auxv if entry["name"] == "AT_EXECFN")
    assert program["incomplete"] == [{"part": "mem", "reason": "ETIMEDOUT"}]


def test_many_readers_of_one_view_do_not_wait_one_after_the_other(own_mirror: Mount) -> None:
    with stuck(user=OWNER) as (target,):
        step = read(own_mirror.path / str(target.pid) / "stack.txt")
        answers = ask([Job([step]) for _ in range(10)], LIMIT)
    assert {answer.error for (answer,) in answers} == {""}
