"""Many requests leave nothing behind."""

from __future__ import annotations

import os

import pytest

from tests.harness import comes_true
from tests.reliability.mirrors import descriptors_of, growth, living, mirrored, sizes_of
from tests.reliability.readers import Job, ask, names, read

OPENS = 100_000 if "PROCMIRROR_SOAK" in os.environ else 6_000
DEADLINE = 200 + OPENS / 150
MIB = 1 << 20
# Of any one process: a worker that loads its modules grows by 8 MiB. And of the daemon.
MORE_MEMORY, MORE_DESCRIPTORS = 12 * MIB, 8
READERS = 4


@pytest.mark.alone
def test_many_opens_leave_no_memory_and_no_descriptor() -> None:
    with mirrored(quiet=True) as mirror:
        folder = mirror.path / "self"
        steps = [
            read(folder / "status"),
            read(folder / "environ.txt"),
            read(folder / "stat.json"),
            names(folder),
        ]
        ask([Job(steps * 100)] * READERS, 60)
        sizes, descriptors = sizes_of(mirror), descriptors_of(mirror)
        answers = ask([Job(steps * (OPENS // len(steps) // READERS))] * READERS, DEADLINE - 150)
        assert {answer.error for job in answers for answer in job} == {""}
        assert comes_true(lambda: descriptors_of(mirror) <= descriptors + MORE_DESCRIPTORS)
        assert comes_true(lambda: growth(sizes, mirror) <= MORE_MEMORY), (sizes, sizes_of(mirror))
        assert len(living(mirror)) <= 8
