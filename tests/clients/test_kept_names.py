"""The kernel may keep names for a moment.

That shows nobody a process that is gone, or another's, or what it was before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.clients.reused import outcome
from tests.clients.test_reuse import ALONE
from tests.mounting import Mount
from tests.programs import ran, running

# How long a name may live longer than its process.
LONGEST = 0.05
CHANGING = """
import os, sys
for line in sys.stdin:
    os.seteuid(0)
    os.seteuid(int(line))
    print(flush=True)
"""


@pytest.mark.parametrize(
    "look",
    [os.stat, os.listdir, lambda path: os.readlink(path / "exe")],
    ids=["stat", "ls", "readlink"],
)
def test_a_process_that_is_gone_is_not_there_for_long(
    mirror: Mount, look: Callable[[Path], object]
) -> None:
    for _ in range(5):
        with running("sleep", "600") as pid:
            process = mirror.path / str(pid)
            look(process)
        time.sleep(LONGEST)
        with pytest.raises(FileNotFoundError):
            look(process)


def test_a_name_that_is_kept_leads_to_who_has_the_number_now() -> None:
    with tempfile.TemporaryDirectory(prefix="procmirror-") as place:
        code, out, err = ran(*ALONE, sys.executable, "-m", "tests.clients.kept", place, deadline=40)
    assert (code, err) == (0, "")
    for said in json.loads(out):
        assert said["before"][0] == repr("first\n") and "first" in said["before"][1]
        assert said["between"] in {"ENOENT", "ESRCH"}
        assert said["after"][0] == repr("second\n") and "second" in said["after"][1]
        assert not any(outcome.startswith("E") for outcome in said["links"]), said["links"]


def test_several_who_hold_the_directory_of_a_process_that_ends_all_hear_that_it_has(
    mirror: Mount,
) -> None:
    said: Counter[str] = Counter()
    with ThreadPoolExecutor(4) as readers:
        for _ in range(20):
            with running("sleep", "600") as pid:
                held = os.open(mirror.path / str(pid), os.O_RDONLY | os.O_DIRECTORY)
                os.stat(mirror.path / str(pid))
            for outcomes in readers.map(partial(asked_for_a_moment, held), range(4)):
                said.update(outcomes)
            os.close(held)
    assert said.keys() <= {"ENOENT", "ESRCH"}


def asked_for_a_moment(directory: int, _: int) -> list[str]:
    """What opening a file below a directory says, again and again while the name of that may be kept."""
    outcomes = []
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        outcomes.append(outcome(lambda: os.open("status.json", os.O_RDONLY, dir_fd=directory)))
    return outcomes


def test_whose_process_it_is_is_never_what_it_was_before(mirror: Mount) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", CHANGING], stdin=pipe, stdout=pipe, text=True
    ) as program:
        assert program.stdin and program.stdout
        for turn in range(200):
            program.stdin.write(f"{turn}\n")
            program.stdin.flush()
            program.stdout.readline()
            for name in ("", "/status", "/exe", "/task", "/attr/current"):
                kernel, here = (
                    os.lstat(f"{place}/{program.pid}{name}").st_uid
                    for place in ("/proc", mirror.path)
                )
                assert here == kernel, name
            assert (
                os.stat(mirror.path / str(program.pid) / "status.json").st_uid
                == os.stat(f"/proc/{program.pid}/status").st_uid
            )
