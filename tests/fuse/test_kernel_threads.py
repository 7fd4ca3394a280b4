"""What is read of kernel threads without a worker, and who counts as one."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from procmirror.fuse import kernel_threads
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.mirror.traits import directory
from procmirror.procfs.processes import Proc, Process
from procmirror.workers.opened import Opened
from procmirror.workers.placement import Placement
from tests.fuse.requesters import WES
from tests.harness import until

LINE = b"40 (%s) S 2 0 0 0 -1 %d 0 0 0 0 0 1 0 0 20 0 1 0 %d 0 0 18446744073709551615 0 0\n"


def told(content: bytes | None, **differing: str) -> bool | None:
    opened = Opened(5, None if content is None else (content, True))
    held = dict.fromkeys(differing, "")
    return kernel_threads.told(opened, Execution(WES, None, Placement(7, WES, 0, held)))


@pytest.mark.parametrize(
    ("name", "flags", "age", "expected"),
    [
        (b"kworker/0:1", 0x208040, 600, True),
        (b"x) S 2 0 0 0 -1 0", 0x208040, 600, True),
        (b"sh", 0x400000, 600, False),
        (b") S 2 0 0 0 -1 2129984 0 (", 0x400000, 600, False),
        # A program that the kernel starts is one before its execve(2).
        (b"kworker/u4:1", 0x208040, 1, None),
    ],
)
def test_a_kernel_thread_is_known_by_its_flags_when_it_is_old(
    name: bytes, flags: int, age: int, expected: bool | None
) -> None:
    start = int(time.clock_gettime(time.CLOCK_BOOTTIME) - age) * 100
    assert told(LINE % (name, flags, start)) is expected


@pytest.mark.parametrize("content", [None, b"", b"40 (kworker", b"40 (a) S 2", b"40 (a) S x y z 1"])
def test_what_does_not_tell_it_leaves_it_open(content: bytes | None) -> None:
    assert told(content) is None


def test_the_clock_of_another_namespace_does_not_tell_the_age() -> None:
    assert told(LINE % (b"a", 0x208040, 5), time="time:[2]") is None
    assert told(LINE % (b"a", 0, 5), time="time:[2]") is False


def node(place: str, name: bytes, *, is_kernel: bool | None = True) -> Node:
    process = Process(b"40", 3)
    process.is_kernel = is_kernel
    top = Node(2, None, b"40", process, b"", directory(place), None)
    sibling = directory(place).siblings.get(name)
    return Node(3, top, name, process, name, None, sibling)


class Told:
    """Processes whose `statm` and `status` a test writes, and what is read of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        proc: Any = SimpleNamespace(directory=self._directory)
        self.rule = kernel_threads.KernelThreads(proc)
        self.asked = 0

    def _directory(self, _: Process) -> int:
        self.asked += 1
        return self._descriptor

    def write(self, statm: str, status: str) -> None:
        self._folder.joinpath("statm").write_text(statm)
        self._folder.joinpath("status").write_text(status)


@pytest.fixture
def about(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.mark.parametrize(
    ("place", "name", "expected"),
    [
        ("PID", b"stat", True),
        ("PID/task/TID", b"stat", True),
        ("PID", b"cmdline", True),
        ("PID", b"environ", True),
        ("PID", b"smaps_rollup", True),
        ("PID", b"io", True),
        ("PID", b"environ.txt", True),
        ("PID", b"stat.json", True),
        ("PID/attr", b"current", True),
        ("PID/attr", b"exec", False),
        ("PID/attr", b"stat", False),
        ("PID", b"io.json", False),
        ("PID", b"stack", False),
        ("PID", b"process.json", False),
        ("PID/net", b"stat", False),
    ],
)
def test_files_of_its_memory_are_answered_at_once(
    about: Told, place: str, name: bytes, expected: bool
) -> None:
    assert about.rule.answers_at_once(node(place, name)) is expected


def test_those_of_others_are_not(about: Told) -> None:
    assert not about.rule.answers_at_once(node("PID", b"stat", is_kernel=False))
    assert not about.rule.answers_at_once(node("PID", b"stat", is_kernel=None))


@pytest.mark.parametrize(
    ("statm", "status", "expected"),
    [
        ("0 0 0 0 0 0 0\n", "Name:\ta\nKthread:\t1\n", True),
        # One that has ended, and is not waited for yet.
        ("0 0 0 0 0 0 0\n", "Name:\ta\nKthread:\t0\n", False),
        ("0 0 0 0 0 0 0\n", "Name:\tKthread:\\t1\nKthread:\t0\n", False),
        ("3200 300 20 4 0 90 0\n", "Name:\ta\nKthread:\t1\n", False),
    ],
)
def test_the_kernel_tells_which_they_are(
    about: Told, statm: str, status: str, *, expected: bool
) -> None:
    about.write(statm, status)
    process = Process(b"40", 3)
    assert about.rule.is_one(process) is expected
    assert (process.is_kernel, about.rule.is_one(process), about.asked) == (expected, expected, 1)


def test_a_kernel_that_does_not_tell_them_is_asked_once(about: Told) -> None:
    about.write("0 0 0 0 0 0 0\n", "Name:\ta\n")
    for _ in range(3):
        process = Process(b"40", 3)
        assert not about.rule.is_one(process) and process.is_kernel is None
    assert about.asked == 1
    process.is_kernel = True
    assert about.rule.is_one(process)


def test_a_process_that_has_ended_is_none(about: Told) -> None:
    process = Process(b"40", 3)
    assert not about.rule.is_one(process) and process.is_kernel is None
    about.write("3200 300 20 4 0 90 0\n", "")
    assert not about.rule.is_one(process) and process.is_kernel is False


@pytest.mark.root
def test_the_kernel_has_nothing_to_wait_for() -> None:
    place = Path("/proc/2")
    until(lambda: time.clock_gettime(time.CLOCK_BOOTTIME) > 20, "a machine that runs for long")
    assert told(place.joinpath("stat").read_bytes()) is True
    assert place.joinpath("cmdline").read_bytes() == b""
    with suppress(ProcessLookupError):
        assert place.joinpath("environ").read_bytes() == b""
    assert told(Path(f"/proc/{os.getpid()}/stat").read_bytes()) is False


@pytest.mark.root
def test_what_the_kernel_tells_agrees_with_the_flags() -> None:
    root = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    rule = kernel_threads.KernelThreads(Proc(root, root))
    for name in (b"2", b"%d" % os.getpid()):
        found = rule.is_one(Process(name, os.stat(name, dir_fd=root).st_ino))
        assert found in {False, told(Path("/proc", name.decode(), "stat").read_bytes())}
    os.close(root)
