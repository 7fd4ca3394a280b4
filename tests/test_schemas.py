"""What judges the answers of views in tests: it refuses what jsonschema refuses."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from tests.fixtures import FIXTURES
from tests.schemas import CONTROL, schema, validator

ROWS = next(one for one in FIXTURES if str(one) == "bookworm/net/tcp.json")


def rows() -> Any:
    return json.loads(ROWS.expected.read_bytes())


@pytest.mark.parametrize("odd", [None, "x", 1.5, True, [1]])
def test_a_part_that_was_valid_hides_no_other(odd: object) -> None:
    checker, once = validator(ROWS.view), jsonschema.Draft202012Validator(schema(ROWS.view))
    checker.validate(rows())
    changed = deepcopy(rows())
    changed[-1]["rem_port"] = odd
    for judge in (once, checker, checker):
        with pytest.raises(jsonschema.ValidationError):
            judge.validate(changed)
    checker.validate(rows())


def test_a_number_is_not_taken_for_the_truth_that_is_equal_to_it() -> None:
    checker = validator(ROWS.view)
    one = deepcopy(rows())
    one[0]["rem_port"] = 1
    checker.validate(one)
    one[0]["rem_port"] = True
    with pytest.raises(jsonschema.ValidationError):
        checker.validate(one)


def test_controls_are_all_that_moves_a_terminal_but_the_newline() -> None:
    found = {char for char in map(chr, range(0x110000)) if CONTROL.search(char)}
    assert found == {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n"}
