"""No user can change how the daemon, its forking process or its workers run."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from tests.attack.grips import ENOUGH
from tests.attack.scene import ATTACKER, attacker, measured, serving, undisturbed
from tests.harness import at_last
from tests.programs import descendants, ran
from tests.reliability.mirrors import mirrored
from tests.reliability.readers import Job, ask, read

SECONDS = 6


def test_nobody_gets_a_grip_on_what_acts_for_him() -> None:
    with mirrored() as mirror:
        wanted = [read(mirror.path / f"self/{name}") for name in ("smaps.txt", "environ.txt")]
        ask([Job(wanted, ATTACKER)] * 2)
        # With the threads of the daemon's ring.
        threads = [int(tid) for tid in os.listdir(f"/proc/{mirror.daemon}/task")]
        assert len(threads) > 1
        pids = [*descendants(mirror.daemon), *threads]
        assert len(pids) >= 4, "the daemon, its forking process and two workers"
        with attacker("grips", mirror.path, ATTACKER, SECONDS, *pids) as (tries, taken):
            assert tries >= ENOUGH
            assert taken == []
        measured(mirror, 1).check()


# A user of this test alone: all processes of that user are ended in the end.
HUNTED = 61029
_IOPRIO_GET, _WHO_PROCESS = (252 if os.uname().machine == "x86_64" else 31), 1


def _how_it_runs(pid: int) -> dict[str, object]:
    """What others could change of how a process runs."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    # SigQ counts the signals of all processes of root's.
    wanted = ("SigPnd", "ShdPnd", "Cpus_allowed:", "Mems_allowed:")
    return {
        "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "policy": os.sched_getscheduler(pid),
        "group": (os.getpgid(pid), os.getsid(pid)),
        "io": ctypes.CDLL(None).syscall(_IOPRIO_GET, _WHO_PROCESS, pid),
        "limits": Path(f"/proc/{pid}/limits").read_text(),
        "score": Path(f"/proc/{pid}/oom_score_adj").read_text(),
        "status": [line for line in status if line.startswith(wanted)],
    }


def test_nobody_gets_a_grip_on_all_at_once_or_on_the_mount() -> None:
    """By what names all processes of a user, of a group or of everybody; then all are killed."""
    with mirrored() as mirror, undisturbed(mirror):
        ask([Job([read(mirror.path / "self/smaps.txt")], HUNTED)] * 2)
        pids = descendants(mirror.daemon)
        before = {pid: _how_it_runs(pid) for pid in pids}
        with attacker("wide_grips", mirror.path, HUNTED, SECONDS, *pids) as (tries, ended):
            assert tries >= ENOUGH
            assert ended == []
        there = [pid for pid in pids if Path(f"/proc/{pid}/exe").is_symlink()]
        same = {pid: before[pid] for pid in there}
        # A worker that ends leaves its forking process a signal for a moment.
        assert at_last(same, lambda: {pid: _how_it_runs(pid) for pid in there}) == same
        for inside in ((), ("unshare", "--user", "--map-root-user")):
            ran(
                *inside,
                "sh",
                "-c",
                f"cat {mirror.path}/self/smaps.txt; kill -KILL -1",
                user=HUNTED,
            )
        # Only workers in a namespace of that user's may have ended.
        assert set(serving(mirror)) <= set(descendants(mirror.daemon))
        measured(mirror, 1).check()
