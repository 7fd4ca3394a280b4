"""A thread that never stays still is either seen whole or not at all."""

from __future__ import annotations

import time
from pathlib import Path

from procmirror.stack.process import Process
from procmirror.stack.snapshot import Memory, Thread, taken
from procmirror.stack.unwind import Unwinder
from tests.harness import DEADLINE, Limit
from tests.live_target import LiveTarget
from tests.stack.targets import compiled, started

CHAINS = [[f"{chain}{depth}" for depth in (3, 2, 1)] for chain in ("first", "second", "third")]
ACCEPTED = 2000


def test_accepted_snapshots_show_one_chain_of_calls(tmp_path: Path) -> None:
    with started(compiled("torn.c", tmp_path, "-O2"), "100") as pid:
        time.sleep(0.2)
        target = LiveTarget(f"/proc/{pid}")
        process = Process(target)
        thread = Thread(target, f"task/{pid}/")
        accepted = refused = 0
        limit = Limit(DEADLINE)
        while accepted < ACCEPTED:
            assert limit.left() > 0, f"{accepted} accepted, {refused} refused"
            snapshot = taken(thread, process)
            if not snapshot.steady or not isinstance(snapshot.memory, Memory):
                refused += 1
                continue
            accepted += 1
            where = snapshot.where
            assert where
            stack = Unwinder(process, snapshot.memory, time.monotonic() + 10 * DEADLINE).stack(
                where
            )
            names = [
                process.name(frame.pc, innermost=frame.interrupted).symbol or b"?"
                for frame in stack.frames
            ]
            shown = [
                name.decode() for name in names if name[:-1] in {b"first", b"second", b"third"}
            ]
            assert shown in CHAINS, shown
            assert stack.reason is None
            assert names[-1] == b"_start"
