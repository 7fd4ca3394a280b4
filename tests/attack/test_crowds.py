"""One user with very much of something: the others get what they ask for, at once."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.attack.scene import ANOTHER, ATTACKER, attacker, measured, undisturbed
from tests.harness import until
from tests.mounting import mounted
from tests.reliability.mirrors import mirrored, workers_of


@pytest.mark.parametrize("kind", ["group", "groups", "stopped", "threads", "names", "descriptors"])
def test_nobody_else_notices(kind: str) -> None:
    with mirrored() as mirror, attacker("crowds", kind, mirror.path, ATTACKER), undisturbed(mirror):
        time.sleep(1)
        measured(mirror, 2).check()


def test_two_users_who_keep_all_workers_busy() -> None:
    """With what takes long to decode: their workers have the weight of two, and leave some to others."""
    with (
        mirrored() as mirror,
        attacker("crowds", "slow", mirror.path, ATTACKER),
        attacker("crowds", "slow", mirror.path, ANOTHER),
        undisturbed(mirror),
    ):
        until(lambda: len(workers_of(mirror)) > 16, "not all workers are busy")
        measured(mirror, 2).check()


def test_a_mirror_that_hides_processes_is_not_held_by_stopped_workers(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "proc", "-o", "hidepid=2", "proc", tmp_path], check=True)
    try:
        with (
            mounted(source=str(tmp_path), quiet=False) as mirror,
            attacker("crowds", "stopped", mirror.path, ATTACKER),
            undisturbed(mirror),
        ):
            time.sleep(1)
            measured(mirror, 2).check()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_crowd_that_is_killed_at_once_leaves_and_nobody_else_has_to_ask() -> None:
    """A request whose requester is killed is gone when the daemon would read it."""
    with mirrored() as mirror:
        for _ in range(8):
            with attacker("crowds", "threads", mirror.path, ATTACKER):
                time.sleep(0.2)
