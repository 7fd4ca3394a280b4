"""The command without a mount and the library, beside a process that hangs its readers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import ROOT, load
from tests.reliability.stuck import stuck

OWNER = 61009
# What a program does that asks for the record of one process again and again.
_AGAIN = """
import json, os, sys, time
import procmirror
def threads():
    # Beside other tests one that does not hang may still be ending.
    for _ in range(50):
        if (count := len(os.listdir("/proc/self/task"))) <= 4:
            break
        time.sleep(0.1)
    return count
for path in sys.argv[1:]:
    for _ in range(3):
        record = procmirror.read(path)
    parts = [one.part for one in getattr(record, "incomplete", ())]
    print(json.dumps([parts, threads()]), flush=True)
os._exit(0)
"""
# Reading all processes beside a stuck one takes a second on a quiet machine.
_SECONDS = 15


@pytest.fixture(scope="module", params=["stuck", "exec"])
def target(request: pytest.FixtureRequest) -> Iterator[int]:
    with stuck(user=OWNER, kind=request.param) as (one,):
        yield one.pid


def said(*arguments: str) -> str:
    return told_by("-m", "procmirror", *arguments)


def told_by(*arguments: str) -> str:
    """What Python says, without a complaint."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_SECONDS * load(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def missing(record: dict[str, Any]) -> set[str]:
    """The parts that a record lacks, as nobody waits longer for them."""
    found = record["incomplete"]
    assert {one["reason"] for one in found} <= {"ETIMEDOUT", "EBUSY"}, found
    return {one["part"] for one in found}


def test_all_processes_are_told_of_and_the_stuck_one_names_what_it_lacks(target: int) -> None:
    rows = [json.loads(line) for line in said("--print", "processes.ndjson").splitlines()]
    (row,) = [row for row in rows if row["pid"] == target]
    assert missing(row) and row["status"]["Name"]
    (other,) = [row for row in rows if row["pid"] == os.getpid()]
    assert not other["incomplete"]


def test_its_own_pages_show_what_the_kernel_still_tells(target: int) -> None:
    page = json.loads(said("--print", f"{target}/process.json"))
    assert missing(page) and page["status"]["Name"]
    for thread in json.loads(said("--print", f"{target}/stack.json"))["threads"]:
        assert missing(thread) and thread["state"]
    rows = json.loads(said("--print", f"{target}/fd.json"))
    assert set(os.listdir(f"/proc/{target}/fdinfo")) <= {str(row["fd"]) for row in rows}
    for name in ("process", "stack"):
        assert "no answer in time" in said("--print", f"{target}/{name}.txt")


def test_watching_goes_on(target: int) -> None:
    told = said("--times", "2", "--watch", "0.1", "processes.ndjson", f"{target}/process.json")
    assert told.count("\n") > 1


def test_a_program_that_asks_again_has_its_answers_and_few_threads_that_hang(target: int) -> None:
    told = told_by("-c", _AGAIN, f"{target}/process", f"{target}/stack")
    (lacking, _), (_, threads) = [json.loads(line) for line in told.splitlines()]
    assert lacking
    # One for each source that hung, whatever asked for it and how often, besides its own.
    assert threads <= 4
