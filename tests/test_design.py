"""docs/DESIGN.md and CHANGELOG.md have the form that other documents rely on."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise

import pytest

from procmirror import __version__
from tests.harness import ROOT
from tests.house import DESIGN, PACKAGE, picture, shown
from tests.test_layers import PURE

PARTS = ("Reason", "Price")
TEXT = DESIGN.read_text(encoding="utf-8")
DECISIONS = re.findall(
    r"^(\d+)\. \*\*(\d{4}-\d\d-\d\d)\*\* — ((?:.*\n)(?: {3,4}.*\n)*)", TEXT, re.MULTILINE
)
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_picture_is_of_this_tree() -> None:
    assert shown() == picture(), "renew it: python -m tests.house"


def test_the_picture_names_every_module_but_those_of_views() -> None:
    names = re.findall(r"^ *(\S+)", shown(), re.MULTILINE)
    modules = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" and "views" not in path.relative_to(PACKAGE).parts
    ]
    assert sorted(name for name in names if name.endswith(".py")) == sorted(modules)


def test_decisions_are_numbered_in_order_of_date() -> None:
    assert [int(number) for number, _, _ in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    days = [date.fromisoformat(day) for _, day, _ in DECISIONS]
    assert all(earlier <= later for earlier, later in pairwise(days))
    assert len(days) > 40


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision[0])
def test_a_decision_has_its_reason_and_its_price(decision: tuple[str, str, str]) -> None:
    for part in PARTS:
        assert decision[2].count(f"*{part}:*") == 1, part


def test_references_to_decisions_lead_somewhere() -> None:
    known = {number for number, _, _ in DECISIONS}
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        named = re.findall(r"\bdecisions? (\d+)(?:(?:, | and )(\d+))*", text)
        assert {one for found in named for one in found if one} <= known, document.name


def test_terms_of_the_glossary_are_in_order_and_told_once() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", TEXT, re.MULTILINE)
    assert terms == sorted(set(terms), key=str.lower) and len(terms) > 25


def test_the_first_release_has_only_what_was_added() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", changes, re.MULTILINE) == ["[0.1.0] - 2026-11-29"]
    assert __version__ == "0.1.0"
    assert re.findall(r"^### (.*)$", changes, re.MULTILINE) == ["Added"]


def test_the_design_names_the_folders_without_input_and_output() -> None:
    found = re.search(r"The folders (.*?)\s+do no input or output", TEXT, re.DOTALL)
    assert found and set(re.findall("`(.+?)`", found[1])) == PURE
