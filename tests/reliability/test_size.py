"""Processes as large as the kernel allows.

Every view answers, in bounded memory that is given back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.harness import comes_true, load
from tests.mounting import Mount
from tests.reliability.giants import giant
from tests.reliability.mirrors import memory_of, mirrored
from tests.reliability.readers import Answer, Job, ask, read

# What the machine itself limits is taken from it; the numbers are those of a process that nobody
# has yet seen in earnest.
SOAK = "PROCMIRROR_SOAK" in os.environ
THREADS, MAPPINGS, CROWD = (10_000, 64_000, 4_000) if SOAK else (3_000, 64_000, 1_000)
ARGUMENT = 131_071
ENVIRONMENT = {f"LARGE_{number}": "x" * 100_000 for number in range(20)}
ENDLESS = 1 << 40
MIB = 1 << 20
IDLE, SERVING, AFTERWARDS = 60 * MIB, 150 * MIB, 80 * MIB
DEADLINE = 300
SUFFIXES = (".json", ".txt", ".ndjson")


@pytest.fixture(scope="module")
def own_mirror() -> Iterator[Mount]:
    with mirrored() as mount:
        yield mount


class Peak:
    """The most memory that a mirror takes during the block."""

    def __init__(self, own_mirror: Mount) -> None:
        self.bytes = 0
        self._mirror = own_mirror
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.bytes = max(self.bytes, memory_of(self._mirror))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def views(folder: Path) -> dict[str, Answer]:
    """The answer of each view in a folder."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIXES))
    (answers,) = ask([Job([read(folder / name) for name in names])], 100)
    return dict(zip(names, answers, strict=True))


def errors(answers: dict[str, Answer]) -> dict[str, str]:
    return {name: answer.error for name, answer in answers.items() if answer.error}


@pytest.mark.alone
def test_memory_is_bounded_and_given_back(own_mirror: Mount, report: list[str]) -> None:
    idle = memory_of(own_mirror)
    with (
        Peak(own_mirror) as peak,
        giant("mappings", MAPPINGS) as large,
        giant("threads", THREADS) as threaded,
    ):
        assert errors(views(own_mirror.path / str(large))) == {}
        answers = views(own_mirror.path / str(threaded))
        assert errors(answers) == {}
        assert answers["task.json"].amount > THREADS * 100
    comes_true(lambda: memory_of(own_mirror) < AFTERWARDS)
    afterwards = memory_of(own_mirror)
    report.append(
        f"memory (PSS): {idle / MIB:.0f} MiB idle, {peak.bytes / MIB:.0f} serving, {afterwards / MIB:.0f} afterwards"
    )
    assert idle < IDLE
    assert peak.bytes < SERVING
    assert afterwards < AFTERWARDS


def test_as_many_descriptors_as_the_limit_allows(own_mirror: Mount) -> None:
    with giant("descriptors", 1 << 30) as pid:
        count = len(os.listdir(f"/proc/{pid}/fd"))
        answers = views(own_mirror.path / str(pid))
    assert count > 1000
    assert errors(answers) == {}
    assert answers["fd.json"].amount > count * 50


def test_a_two_megabyte_environment_and_the_longest_argument(own_mirror: Mount) -> None:
    with giant("plain", 0, ENVIRONMENT, "y" * ARGUMENT) as pid:
        answers = views(own_mirror.path / str(pid))
    assert errors(answers) == {}
    assert answers["environ.txt"].amount > 2_000_000
    assert answers["cmdline.json"].amount > ARGUMENT


def test_an_environment_that_never_ends_is_refused_in_time(own_mirror: Mount) -> None:
    with giant("endless", ENDLESS) as pid:
        answers = views(own_mirror.path / str(pid))
    assert errors(answers) == {"environ.json": "EFBIG", "environ.txt": "EFBIG"}
    assert max(answer.seconds for answer in answers.values()) < 5 * load()


def test_thousands_of_processes(own_mirror: Mount) -> None:
    with giant("crowd", CROWD):
        (listed,) = ask([Job([("names", str(own_mirror.path), 0)])])
        assert listed[0].amount > CROWD
        answers = views(own_mirror.path)
    natively = {name for name, error in errors(answers).items() if error}
    assert natively <= unavailable()
    assert answers["processes.ndjson"].amount > CROWD * 1000


def unavailable() -> set[str]:
    """The views of files that this kernel does not let be read at the moment (such as kmsg when it is empty)."""
    names = set()
    for path in Path("/proc").iterdir():
        if path.is_file():
            try:
                with open(
                    path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
                ) as file:
                    file.read(1)
            except OSError:
                names |= {f"{path.name}{suffix}" for suffix in SUFFIXES}
    return names
