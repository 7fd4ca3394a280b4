"""The views of single descriptors: beside each entry of fdinfo, for whom the kernel lets read it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mounting import Mount
from tests.reliability.readers import Job, names, read
from tests.reliability.readers import ask as asked

WES, OTHER = 61003, 61004
PROGRAM = """
import fcntl, os, select, sys, threading
epoll = select.epoll()
epoll.register(0, select.EPOLLIN)
file = os.open(sys.argv[1], os.O_RDWR | os.O_APPEND)
fcntl.flock(file, fcntl.LOCK_EX)
print(epoll.fileno(), file, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def process() -> Iterator[tuple[int, int, int]]:
    """A process of wes, the number of its epoll instance and of its locked file."""
    pipe = subprocess.PIPE
    program = [sys.executable, "-c", PROGRAM, "/dev/null"]
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, user=WES, group=WES) as running:
        assert running.stdin and running.stdout
        epoll, locked = map(int, running.stdout.readline().split())
        yield running.pid, epoll, locked
        running.stdin.close()


def test_each_descriptor_has_its_views(mirror: Mount, process: tuple[int, int, int]) -> None:
    pid, epoll, locked = process
    for folder in (f"{pid}/fdinfo", f"{pid}/task/{pid}/fdinfo"):
        # Programs take each name there for a number.
        assert sorted(os.listdir(mirror.path / folder)) == sorted(os.listdir(f"/proc/{folder}"))
        watches = json.loads((mirror.path / folder / f"{epoll}.json").read_bytes())
        assert [one["fd"] for one in watches["epoll"]] == [0]
        found = json.loads((mirror.path / folder / f"{locked}.json").read_bytes())
        native = Path(f"/proc/{folder}/{locked}").read_text(encoding="ascii")
        assert f"ino:\t{found['ino']}\n" in native
        assert [one["kind"] for one in found["locks"]] == ["FLOCK"]
        assert found["flags"][0] == "O_RDWR" and "O_APPEND" in found["flags"]
        text = (mirror.path / folder / f"{locked}.txt").read_text()
        assert f"ino     {found['ino']}\n" in text and "FLOCK" in text


@pytest.mark.parametrize("user", [WES, OTHER])
def test_the_kernel_decides_who_reads_them(
    mirror: Mount, process: tuple[int, int, int], user: int
) -> None:
    pid, epoll, _ = process
    for folder in (f"{pid}/fdinfo", f"{pid}/task/{pid}/fdinfo"):
        ((native, native_names),) = asked(
            [Job([read(f"/proc/{folder}/{epoll}"), names(f"/proc/{folder}")], user)]
        )
        views = [read(mirror.path / folder / f"{epoll}.{suffix}") for suffix in ("json", "txt")]
        ((*answers, listed),) = asked([Job([*views, names(mirror.path / folder)], user)])
        assert {answer.error for answer in answers} == {native.error}
        assert listed.error == native_names.error
        assert (user == OTHER) == bool(native.error)


def test_what_is_no_descriptor_has_no_view(mirror: Mount, process: tuple[int, int, int]) -> None:
    for name in ("999.json", "x.json", "07.json", "-1.txt", "0.xml", "0.ndjson", ".json"):
        with pytest.raises(OSError, match="No such file") as refused:
            (mirror.path / f"{process[0]}/fdinfo" / name).read_bytes()
        assert refused.value.errno == errno.ENOENT
