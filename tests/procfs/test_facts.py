"""The facts of the machine: its kernel, and what changes while the daemon runs (names, the clock)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from procmirror.procfs import machine


def test_names_follow_their_file_and_the_first_of_an_id_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    file = tmp_path / "passwd"
    names = machine._Names(str(file))
    assert names.current() == {}
    file.write_text("root:x:0:0::/:\ntoor:x:0:0::/:\n+nis\nbad:x:one:0\nwes:x: 1000 :5::/:\n")
    # Whether the file has changed is asked twice a second at most.
    assert names.current() == {}
    now += 1
    assert names.current() == {0: "root", 1000: "wes"}
    file.unlink()
    now += 1
    assert names.current() == {0: "root", 1000: "wes"}


@pytest.mark.parametrize(("ahead", "same"), [(0.9, True), (-0.9, True), (1.1, False)])
def test_a_clock_that_is_set_a_little_gives_no_other_boot(
    monkeypatch: pytest.MonkeyPatch, ahead: float, *, same: bool
) -> None:
    before, real = machine.boot_time(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    assert (machine.boot_time(before) == before) is same


def test_the_kernel_is_the_one_that_runs() -> None:
    root = os.open("/proc", os.O_RDONLY)
    found = machine.Facts(root).machine({}, named=True)
    os.close(root)
    release = Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii").strip()
    assert (found.release, found.architecture) == (release, os.uname().machine)
