"""The table of mutants: that each row can be run. Whether they are found, `make mutants` says."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.harness import ROOT
from tests.mutants.__main__ import QUARTERS, _found, _healthy, _quarter, chosen
from tests.mutants.row import Mutant
from tests.mutants.table import TABLE
from tests.mutants.tree import Run, Tree
from tests.permissions.mutants.__main__ import MUTANTS

LAYERS = {
    *("cli", "fuse", "workers", "mirror", "procfs"),
    *("identity", "decoding", "views", "stack", "kernel"),
}


def test_there_are_at_least_sixty_of_all_layers() -> None:
    assert len({mutant.name for mutant in TABLE}) == len(TABLE) >= 60
    assert {mutant.layer for mutant in TABLE} == LAYERS


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.name)
def test_a_row_names_tests_that_exist(mutant: Mutant) -> None:
    assert mutant.tests and mutant.text != mutant.replacement
    source = (ROOT / "procmirror" / mutant.module).read_text(encoding="utf-8")
    assert mutant.applied(source) != source
    for test in mutant.tests:
        file, _, function = test.partition("::")
        assert f"def {function}" in (ROOT / file).read_text(encoding="utf-8")


def test_a_row_uses_no_name_that_is_not_there(tmp_path: Path) -> None:
    """Else any test finds it, by a NameError."""
    for mutant in TABLE:
        source = (ROOT / "procmirror" / mutant.module).read_text(encoding="utf-8")
        (tmp_path / f"{mutant.name}.py").write_text(mutant.applied(source), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select=F821"]
    told = subprocess.run(
        [*ruff, "--output-format=concise", tmp_path], capture_output=True, check=False, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_each_quarter_has_other_mutants_and_all_have_all() -> None:
    quarters = [chosen(None, number) for number in range(1, QUARTERS + 1)]
    assert sorted(mutant.name for quarter in quarters for mutant in quarter) == sorted(
        mutant.name for mutant in TABLE
    )
    assert chosen(["pid_reused"], None)[0].name == "pid_reused"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/3", "x", "", "-1"])
def test_another_quarter_there_is_not(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        _quarter(text)
    assert _quarter("2/4") == _quarter("2") == 2
    assert 1 <= _quarter("day") <= QUARTERS


@pytest.mark.parametrize("source", ["", "a b a"])
def test_a_text_must_stand_there_once(source: str) -> None:
    mutant = Mutant("name", "views/x.py", "a", "c", (), "")
    with pytest.raises(ValueError, match="times in views"):
        mutant.applied(source)
    assert mutant.applied("a b") == "c b"


class _Told(Tree):
    """A tree whose runs end with these codes of pytest, in turn."""

    def __init__(self, *codes: int) -> None:
        super().__init__(ROOT)
        self.codes = list(codes)

    def run(self, tests: Sequence[str], *_: str, **__: float) -> Run:
        return Run(self.codes.pop(0), f"FAILED {tests[0]} - why\n", 0.0)

    def with_fault(self, mutant: Mutant) -> Run:
        return self.run(mutant.tests)


@pytest.mark.parametrize(
    ("codes", "is_found"), [((1,), True), ((0, 1), True), ((0, 0), False), ((2,), False)]
)
def test_a_mutant_that_lives_is_run_a_second_time(codes: tuple[int, ...], is_found: bool) -> None:
    tree = _Told(*codes)
    trees: SimpleQueue[Tree] = SimpleQueue()
    trees.put(tree)
    assert _found(trees, TABLE[0]) is is_found
    assert not tree.codes


@pytest.mark.parametrize(
    ("codes", "count"), [((0,), 2), ((1, 0), 2), ((1, 1), 1), ((4, 4), 1), ((-1, -1), 1)]
)
def test_tests_that_fail_without_a_fault_are_run_a_second_time(
    codes: tuple[int, ...], count: int
) -> None:
    mutants = [
        Mutant(name, "views/x.py", "a", "b", (f"tests/{name}.py::test",), "") for name in "xy"
    ]
    tree = _Told(*codes)
    assert _healthy(tree, mutants) == mutants[2 - count :]
    assert not tree.codes


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_permissions_has_a_test_that_finds_it(name: str) -> None:
    folder = Path(__file__).parent / "permissions"
    tests = "".join(path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
    assert re.search(rf'"{name}"', tests)
