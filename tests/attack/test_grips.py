"""No user can change how the daemon, its forking process or its workers run."""

from __future__ import annotations

from tests.attack.scene import ATTACKER, attacker, measured
from tests.programs import descendants
from tests.reliability.mirrors import mirrored
from tests.reliability.readers import Job, ask, read

SECONDS = 6


def test_nobody_gets_a_grip_on_what_acts_for_him() -> None:
    with mirrored() as mirror:
        ask([Job([read(mirror.path / "self/environ.txt")], ATTACKER)] * 2)
        pids = descendants(mirror.daemon)
        assert len(pids) >= 4, "the daemon, its forking process and two workers"
        with attacker("grips", mirror.path, ATTACKER, SECONDS, *pids) as (tries, taken):
            assert tries > 10_000
            assert taken == []
        measured(mirror, 1).check()
