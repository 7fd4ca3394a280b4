"""When a process started, by the clock as it is set now and in the requester's time namespace."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from procmirror.procfs import machine
from tests.mounting import Mount
from tests.programs import running, shell


def test_the_time_of_the_boot_is_the_kernels() -> None:
    told = re.search(r"^btime (\d+)$", Path("/proc/stat").read_text(encoding="ascii"), re.MULTILINE)
    assert told and int(machine.boot_time()) == int(told[1])


def test_it_follows_the_clock_and_does_not_flicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CLOCKS_KEPT", -1.0)
    facts = machine.Facts(os.open("/proc", os.O_RDONLY))
    before = facts.machine({}, named=True).boot_time
    real, ahead = time.time, 0.9
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    assert facts.machine({}, named=True).boot_time == before
    ahead = 3600.0
    assert facts.machine({}, named=True).boot_time == pytest.approx(before + 3600, abs=1)


def test_a_process_that_is_stopped_between_two_clocks_reads_them_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, pauses = time.time, iter([0.2, 0.0])

    def slow() -> float:
        # A machine that stalls has it read them once more.
        time.sleep(next(pauses, 0.0))
        return real()

    expected = machine.boot_time()
    monkeypatch.setattr(time, "time", slow)
    assert machine.boot_time() == pytest.approx(expected, abs=0.06)
    assert next(pauses, None) is None


@pytest.mark.parametrize("where", ["", "unshare --time --boottime 100000 --fork "])
def test_started_is_what_ps_says(mirror: Mount, where: str) -> None:
    """Also in a time namespace, whose `starttime` and `btime` are both others."""
    with running("sleep", "600") as pid:
        assert any(
            _started_as_ps_says(f"{mirror.path}/{pid}/stat.json", pid, where) for _ in "12345"
        )


def _started_as_ps_says(path: str, pid: int, where: str) -> bool:
    """Within two seconds; a ps that waits for a processor between its two clocks is late."""
    command = f"{where}sh -c 'cat {path}; TZ=UTC ps -o lstart= -p {pid}'"
    stat, lstart = shell(command).out.rstrip("\n").rsplit("\n", 1)
    started = time.mktime(time.strptime(json.loads(stat)["started"][:19], "%Y-%m-%dT%H:%M:%S"))
    return abs(started - time.mktime(time.strptime(lstart.strip()))) <= 2
