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
from procmirror.procfs.processes import Process
from procmirror.workers.opened import Opened
from procmirror.workers.placement import Placement
from tests.fuse.requesters import WES
from tests.harness import until

LINE = b"40 (%s) S 2 0 0 0 -1 %d 0 0 0 0 0 1 0 0 20 0 1 0 %d 0 0 18446744073709551615 0 0\n"


def told(content: bytes | None, name: bytes = b"stat", **differing: str) -> bool | None:
    opened = Opened(5, None if content is None else (content, True))
    held = dict.fromkeys(differing, "")
    return kernel_threads.told(name, opened, Execution(WES, None, Placement(7, WES, 0, held)))


def started(age: float) -> int:
    """When what has this age in seconds started, in ticks."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) - age) * 100


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
    assert told(LINE % (name, flags, started(age))) is expected


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
    """Processes whose `stat` a test has, None while it is not soon read."""

    def __init__(self) -> None:
        proc: Any = SimpleNamespace(directory=lambda _: 9)
        self.rule = kernel_threads.KernelThreads(proc)
        self.rule.stat_of = self._stat
        self.stat: bytes | OSError | None = None
        self.asked = 0

    def _stat(self, directory: int) -> bytes | None:
        assert directory == 9
        self.asked += 1
        if isinstance(self.stat, OSError):
            raise self.stat
        return self.stat


@pytest.fixture
def about() -> Told:
    return Told()


@pytest.mark.parametrize(
    ("place", "name", "expected"),
    [
        ("PID", b"stat", True),
        ("PID/task/TID", b"stat", True),
        ("PID", b"status", True),
        ("PID", b"statm.json", True),
        ("PID", b"coredump_filter", True),
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
    for name in (b"stat", b"status", b"cmdline"):
        assert not about.rule.answers_at_once(node("PID", name, is_kernel=False))
        assert not about.rule.answers_at_once(node("PID", name, is_kernel=None))


@pytest.mark.parametrize(
    ("flags", "age", "expected"),
    [(0x208040, 600, True), (0x400000, 600, False), (0x208040, 1, None)],
)
def test_the_ring_is_asked_which_they_are_until_that_is_known(
    about: Told, flags: int, age: float, expected: bool | None
) -> None:
    about.stat = LINE % (b"a", flags, started(age))
    process = Process(b"40", 3)
    assert about.rule.is_one(process) is bool(expected)
    assert process.is_kernel is expected
    about.rule.is_one(process)
    assert about.asked == (2 if expected is None else 1)


@pytest.mark.parametrize("stat", [None, b"", ProcessLookupError()])
def test_what_is_not_told_is_asked_again(about: Told, stat: bytes | OSError | None) -> None:
    about.stat = stat
    process = Process(b"40", 3)
    assert not about.rule.is_one(process) and process.is_kernel is None
    about.stat = LINE % (b"a", 0, 5)
    assert not about.rule.is_one(process) and process.is_kernel is False


@pytest.mark.parametrize(
    ("name", "asked"), [(b"stat", 0), (b"status", 0), (b"statm.txt", 0), (b"cmdline", 1)]
)
def test_nothing_is_asked_for_what_tells_it_or_is_as_soon_read(
    about: Told, name: bytes, asked: int
) -> None:
    about.rule.answers_at_once(node("PID", name, is_kernel=None))
    assert about.asked == asked


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Name:\ta\nTgid:\t4\nKthread:\t1\nNSpid:\t4\n", True),
        (b"Name:\tKthread:\\n1\nTgid:\t4\nKthread:\t0\n", False),
        # Before Linux 6.11.
        (b"Name:\tKthread:\t1\nTgid:\t4\n", None),
        (b"", None),
        (None, None),
    ],
)
def test_newer_kernels_tell_it_in_status(content: bytes | None, expected: bool | None) -> None:
    assert told(content, b"status") is expected
    assert told(content, b"status", time="time:[2]") is expected
    assert told(content, b"statm") is None


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
def test_what_status_tells_agrees_with_the_flags() -> None:
    for place in (Path("/proc/2"), Path("/proc/self")):
        found = told(place.joinpath("status").read_bytes(), b"status")
        assert found in {None, told(place.joinpath("stat").read_bytes())}
