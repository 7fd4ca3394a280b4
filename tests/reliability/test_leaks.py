"""Many requests leave nothing behind."""

from __future__ import annotations

import os

import pytest

from tests.harness import comes_true
from tests.mounting import Mount
from tests.reliability.mirrors import descriptors_of, growth, living, mirrored, sizes_of
from tests.reliability.readers import Job, ask, names, read

SOAKS = "PROCMIRROR_SOAK" in os.environ
WARMING, OPENS = 1_600, 100_000 if SOAKS else 6_000
DEADLINE = 200 + OPENS / 150
MIB = 1 << 20
# Of any one process: a worker that loads its modules grows by 8 MiB. And of the daemon.
MORE_MEMORY, MORE_DESCRIPTORS = 12 * MIB, 8
# Of the daemon in the second half. What it remembers within its limits grows by 150 bytes with each
# open, until it has grown by 8 MiB after some 70,000.
MORE_IN_DAEMON = 2 * MIB if SOAKS else MIB
READERS = 4


def opened(mirror: Mount, count: int) -> int:
    """How large the daemon is after so many operations more, by several readers at once."""
    folder = mirror.path / "self"
    steps = [
        read(folder / "status"),
        read(folder / "environ.txt"),
        read(folder / "stat.json"),
        names(folder),
    ]
    answers = ask([Job(steps * (count // len(steps) // READERS))] * READERS, DEADLINE - 150)
    assert {answer.error for job in answers for answer in job} == {""}
    return sizes_of(mirror)[mirror.daemon]


@pytest.mark.alone
def test_many_opens_leave_no_memory_and_no_descriptor() -> None:
    with mirrored(quiet=True) as mirror:
        opened(mirror, WARMING)
        sizes, descriptors = sizes_of(mirror), descriptors_of(mirror)
        middle = opened(mirror, OPENS // 2)
        assert opened(mirror, OPENS // 2) - middle <= MORE_IN_DAEMON
        assert comes_true(lambda: descriptors_of(mirror) <= descriptors + MORE_DESCRIPTORS)
        assert comes_true(lambda: growth(sizes, mirror) <= MORE_MEMORY), (sizes, sizes_of(mirror))
        assert len(living(mirror)) <= 8
