"""Many requests leave nothing behind."""

from __future__ import annotations

import os

import pytest

from tests.harness import comes_true
from tests.reliability.mirrors import descriptors_of, living, memory_of, mirrored
from tests.reliability.readers import Job, ask, names, read

OPENS = 100_000 if "PROCMIRROR_SOAK" in os.environ else 6_000
DEADLINE = 60 + OPENS / 150
MIB = 1 << 20
MORE_MEMORY, MORE_DESCRIPTORS = 8 * MIB, 8
READERS = 4


# What is shared with another mirror counts half, until that one ends.
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
        memory, descriptors = memory_of(mirror), descriptors_of(mirror)
        answers = ask([Job(steps * (OPENS // len(steps) // READERS))] * READERS, DEADLINE - 20)
        assert {answer.error for job in answers for answer in job} == {""}
        assert comes_true(lambda: descriptors_of(mirror) <= descriptors + MORE_DESCRIPTORS, 10)
        assert comes_true(lambda: memory_of(mirror) <= memory + MORE_MEMORY, 15), (
            memory,
            memory_of(mirror),
        )
        assert len(living(mirror)) <= 8
