"""What holds a process holds nobody who looks at it, and nobody who looks at others."""

from __future__ import annotations

import time

import pytest

from tests.attack.scene import ATTACKER, THIRD, attacker, measured, undisturbed
from tests.harness import state_of, until
from tests.reliability.mirrors import forge_of, mirrored, workers_of, zygote_of
from tests.reliability.readers import Job, ask, read

RAW = ("cmdline", "environ", "stat", "maps", "wchan", "auxv")
VIEWS = ("cmdline.json", "process.json", "environ.txt", "syscall.txt", "stack.txt", "auxv.txt")


@pytest.mark.parametrize("kind", ["frozen", "born", "fault", "path", "secret", "supervised"])
def test_who_is_held_is_looked_at_as_natively(kind: str) -> None:
    with mirrored() as mirror, attacker("held", kind, ATTACKER, mirror.path) as made:
        with undisturbed(mirror):
            for user in (0, ATTACKER):
                for pid in made:
                    native = [read(f"/proc/{pid}/{name}") for name in RAW]
                    ours = [read(mirror.path / f"{pid}/{name}") for name in (*RAW, *VIEWS)]
                    expected, found = ask([Job(native, user), Job(ours, user)])
                    assert [one.error for one in found] == [one.error for one in expected] + [
                        ""
                    ] * len(VIEWS)
                    assert found[0].amount == expected[0].amount
            measured(mirror, 1).check()
        # For a disk a process may wait at any moment, but not for ever.
        until(lambda: "D" not in map(state_of, mirror.processes()), "a worker hangs")


def test_workers_in_a_users_namespace_that_he_freezes_are_his_loss() -> None:
    """With cgroups of version 1 he may move them, and not even SIGKILL ends a frozen process."""
    with mirrored("--timeout", "2") as mirror:
        with attacker("held", "workers", ATTACKER, mirror.path) as moved, undisturbed(mirror):
            assert not {mirror.daemon, forge_of(mirror), zygote_of(mirror)} & set(moved)

            def frozen() -> list[int]:
                return [pid for pid in workers_of(mirror) if state_of(pid) == "D"]

            time.sleep(4)
            if moved:
                assert len(until(frozen, "no worker is frozen")) < 16
            measured(mirror).check()
        asked = [Job([read(mirror.path / "self/environ.txt")], user) for user in (ATTACKER, THIRD)]
        until(lambda: not any(one.error for (one,) in ask(asked)), "they are refused for ever")
