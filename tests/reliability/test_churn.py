"""Hundreds of short processes a second.

Nobody is taken for another, and nothing is left of them in the daemon.
"""

from __future__ import annotations

import os

import pytest

from tests.harness import comes_true
from tests.reliability import churn
from tests.reliability.mirrors import descriptors_without_living, growth, living, mirrored, sizes_of
from tests.reliability.readers import Job, ask, names, read

SECONDS = 60 if "PROCMIRROR_SOAK" in os.environ else 8
DEADLINE = SECONDS + 200
MIB = 1 << 20
# How much more any one process may hold than after the first requests.
MORE_MEMORY, MORE_DESCRIPTORS = 16 * MIB, 12


# The numbers of all other programs' processes would be used again too.
@pytest.mark.alone
def test_no_process_is_taken_for_another_and_nothing_is_left_of_them(report: list[str]) -> None:
    with mirrored(quiet=True) as mirror:
        ask(
            [
                Job(
                    [
                        names(mirror.path),
                        read(mirror.path / "processes.ndjson"),
                        read(mirror.path / "self/stat.json"),
                    ]
                )
            ]
            * 3
        )
        sizes, descriptors = sizes_of(mirror), descriptors_without_living(mirror)
        makers = [churn.begin("make", SECONDS)]
        watchers = [churn.begin("watch", mirror.path, SECONDS, user) for user in (0, 61003, 61004)]
        made = [churn.result(maker, SECONDS + 100) for maker in makers]
        said = [churn.result(watcher, SECONDS + 100) for watcher in watchers]
        assert [mistake for one in said for mistake in one["mistakes"]] == []
        comes_true(lambda: descriptors_without_living(mirror) <= descriptors + MORE_DESCRIPTORS)
        comes_true(lambda: growth(sizes, mirror) <= MORE_MEMORY)
        held = descriptors_without_living(mirror), growth(sizes, mirror)
        alive = len(living(mirror))
    report.append(
        f"churn: {made[0]['made'] / SECONDS:.0f} processes/s, {made[0]['reused']} numbers used again, "
        f"{sum(one['checked'] for one in said)} answers checked"
    )
    assert made[0]["made"] > 100 * SECONDS
    assert made[0]["reused"] > 0
    assert sum(one["checked"] for one in said) > 100
    assert held[0] <= descriptors + MORE_DESCRIPTORS
    assert held[1] <= MORE_MEMORY
    assert alive <= 8
