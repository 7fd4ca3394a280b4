"""Every way in which one user takes much, all at once: with PROCMIRROR_SOAK, as it takes minutes."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack

import pytest

from tests.attack.scene import (
    ANOTHER,
    ATTACKER,
    FOURTH,
    attacker,
    fuse_node,
    measured,
    undisturbed,
)
from tests.reliability.mirrors import mirrored, workers_of
from tests.reliability.readers import Job, Readers, piece

# A user who stops all that may be stopped stops the other programs of that user too.
CROWDS = {"stopped": ANOTHER} | dict.fromkeys(
    ("groups", "descriptors", "threads", "slow"), ATTACKER
)


@pytest.mark.skipif("PROCMIRROR_SOAK" not in os.environ, reason="with `make soak`")
@pytest.mark.parametrize("keeper", [ATTACKER, FOURTH])
def test_all_attacks_at_once(report: list[str], keeper: int) -> None:
    """Whoever keeps workers is refused soon: by another user the other attacks go on."""
    with ExitStack() as attacks:
        node = attacks.enter_context(fuse_node())
        mirror = attacks.enter_context(mirrored())
        attacks.enter_context(undisturbed(mirror))
        pages = attacks.enter_context(attacker("unanswered", "page", keeper, node, 40))
        jobs = [Job([piece(mirror.path / f"{pid}/mem", at)] * 3, keeper) for pid, at in pages]
        attacks.callback(Readers(jobs, 90).kill)
        for kind in ("programs", "arguments"):
            attacks.enter_context(attacker("large", kind, ATTACKER, 40))
        for kind, user in CROWDS.items():
            attacks.enter_context(attacker("crowds", kind, mirror.path, user))
        for _ in range(5):
            time.sleep(2)
            found = measured(mirror, 2)
            found.check()
            report.append(f"all attacks, {len(workers_of(mirror))} workers: {found}")
