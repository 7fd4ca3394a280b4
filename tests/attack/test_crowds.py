"""One user with very much of something: the others get what they ask for, at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.attack.scene import ANOTHER, ATTACKER, Measured, attacker, measured, undisturbed
from tests.harness import until
from tests.mounting import mounted
from tests.reliability.mirrors import mirrored, workers_of
from tests.reliability.readers import Job, ask, read


@pytest.mark.parametrize(
    "kind",
    [
        *("group", "groups", "stopped", "threads", "names", "descriptors"),
        *("listings", "mounts"),
        # What they may hold a directory for is more, the longer the daemon waits for a processor.
        *(pytest.param(kind, marks=pytest.mark.alone) for kind in ("created", "pulses")),
    ],
)
def test_nobody_else_notices(kind: str) -> None:
    with mirrored() as mirror, attacker("crowds", kind, mirror.path, ATTACKER), undisturbed(mirror):
        time.sleep(1)
        # Who is stopped and continued in time with the daemon's looks holds a directory for up to a
        # second more, if the machine is busy (DESIGN.md, 162).
        measured(mirror, 2).check(2.0 if kind == "pulses" else 1.0)


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


@pytest.mark.alone
def test_who_asks_for_the_view_that_a_crowd_asks_for_has_a_place_of_its_own() -> None:
    with (
        mirrored() as mirror,
        attacker("crowds", "view", mirror.path, ATTACKER) as pid,
        undisturbed(mirror),
    ):
        time.sleep(2)
        view = read(mirror.path / f"{pid}/task.json")
        answers, native = ask([Job([view] * 5), Job([read("/proc/self/status")] * 5)], 60)
        assert answers and native
        seen = Measured()
        seen.mirror, seen.native = [(view, answer) for answer in answers], native
        seen.check()


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


def test_the_kernel_asks_for_two_names_of_a_directory_at_once() -> None:
    """Else whoever lists the root waits until each of a crowd has had a processor, twice."""
    with mirrored() as mirror:
        shells = [
            subprocess.Popen(
                ["sh", "-c", f"echo && read go && [ -e {name} ]"],
                cwd=mirror.path / "sys",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for name in ("one", "another")
        ]
        for shell in shells:
            assert shell.stdout and shell.stdout.readline()
        os.kill(mirror.daemon, signal.SIGSTOP)
        try:
            for shell in shells:
                assert shell.stdin
                shell.stdin.write(b"\n")
                shell.stdin.close()

            def both() -> bool:
                waits = [Path(f"/proc/{shell.pid}/wchan").read_text("ascii") for shell in shells]
                return waits == ["request_wait_answer"] * 2

            until(both, "one waits for the other")
        finally:
            os.kill(mirror.daemon, signal.SIGCONT)
        assert [shell.wait(30) for shell in shells] == [1, 1]
        for shell in shells:
            assert shell.stdout
            shell.stdout.close()
