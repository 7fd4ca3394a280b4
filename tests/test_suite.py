"""The suite itself: where it runs, and what its harness promises."""

from __future__ import annotations

import itertools
import os
import re
import time
from pathlib import Path

import pytest

from tests import harness
from tests.harness import ROOT, comes_true, stat_fields, until
from tests.programs import ran


@pytest.mark.root
def test_the_suite_runs_in_a_mount_namespace_of_its_own() -> None:
    assert os.readlink("/proc/self/ns/mnt") != os.readlink(f"/proc/{os.getppid()}/ns/mnt")
    # Nothing that is mounted here appears elsewhere, and the other way round.
    optional = [
        line.split(" - ")[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    assert not [line for line in optional if "shared:" in line or "master:" in line]


def test_each_test_is_in_one_part_of_the_whole_suite() -> None:
    """Of those with a mirror some load the machine, and of these some are alone."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    run = re.findall(r"python -m pytest [^\n]*\$\((\w+)\) \|\| failed=yes", makefile)
    parts = [
        re.search(rf'^{name} = -m (?:"([^"]*)"|(\w+))', makefile, re.MULTILINE) for name in run
    ]
    told = [one[1] or one[2] for one in parts if one]
    assert len(told) == len(run) == 3
    for mount, root, loads, alone in itertools.product((False, True), repeat=4):
        if (mount or not loads) and (loads or not alone):
            marks = {"mount": mount, "root": root, "loads": loads, "alone": alone}
            assert sum(bool(eval(one, {}, marks)) for one in told) == 1, marks


def test_the_folders_that_load_the_machine_are_a_process_each(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytestconfig.option, "tx", ["2*popen"])
    monkeypatch.setattr(pytestconfig.option, "dist", "loadgroup")
    made = pytestconfig.hook.pytest_xdist_make_scheduler(config=pytestconfig, log=None)
    tests = ("attack/test_rim.py::test_one[x/y]", "reliability/t.py::t", "views/t.py::t", "t.py::t")
    groups = [made._split_scope(f"tests/{one}") for one in tests]
    assert groups == ["attack", "reliability", "tests/views/t.py", "tests/t.py"]


def test_until_returns_what_came_and_raises_where_nothing_comes() -> None:
    coming = iter([0, 0, 7])
    assert until(lambda: next(coming), "no seven") == 7
    with pytest.raises(AssertionError, match="no eight"):
        until(lambda: None, "no eight", 0.01)
    assert comes_true(lambda: True) and not comes_true(lambda: False, 0.01)


def test_waits_are_longer_on_a_loaded_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for runnable, times in ((0.0, 1.0), (2.0, 1.0), (6.0, 3.0), (100.0, 8.0)):
        monkeypatch.setattr(os, "getloadavg", lambda runnable=runnable: (runnable, 0.0, 0.0))
        assert harness.load() == times


def test_a_wait_is_longer_if_the_machine_becomes_loaded_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads, moments = iter([1.0, 3.0, 1.0]), iter([0.0, 9.0, 11.0, 31.0])
    monkeypatch.setattr(harness, "load", lambda: next(loads))
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    limit = harness.Limit(10.0)
    assert [limit.left() for _ in range(3)] == [1.0, 19.0, -1.0]


def test_a_program_may_take_longer_if_the_machine_becomes_loaded_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loads = itertools.chain([1.0], itertools.repeat(100.0))
    monkeypatch.setattr(harness, "load", lambda: next(loads))
    assert ran("sh", "-c", "sleep 1; echo done", deadline=0.1).out == "done\n"


def test_a_name_does_not_move_the_fields_of_stat() -> None:
    assert stat_fields(b"7 (a) R 1 (b)) S 5 7 7") == [b"S", b"5", b"7", b"7"]
    assert harness.state_of(os.getpid()) == "R" and harness.parent_of(os.getpid()) == os.getppid()
    assert not harness.ended(os.getpid()) and harness.ended(2**22 + 1)
