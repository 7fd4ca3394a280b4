"""The table of mutants: that each row can be run. Whether they are found, `make mutants` says."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from tests.harness import ROOT
from tests.mutants.__main__ import QUARTERS, _quarter, chosen
from tests.mutants.row import Mutant
from tests.mutants.table import TABLE
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


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_of_permissions_has_a_test_that_finds_it(name: str) -> None:
    folder = Path(__file__).parent / "permissions"
    tests = "".join(path.read_text(encoding="utf-8") for path in folder.glob("test_*.py"))
    assert re.search(rf'"{name}"', tests)
