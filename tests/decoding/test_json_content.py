"""Records as JSON: long lists in batches are the same bytes as the record at once."""

from __future__ import annotations

import json as standard
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procmirror.decoding import json_content
from procmirror.decoding.table import Rows
from procmirror.decoding.view import Record

AT_ONCE = 512


class Inner(Record, frozen=True):
    """An element of a list."""

    name: str
    numbers: list[int]


class Outer(Record, frozen=True, rename={"rows": "the rows", "all": "All"}):
    """A record of lists, and of strings between them."""

    first: str
    rows: list[Inner]
    between: str | None
    all: list[Any]


@pytest.fixture(autouse=True, scope="module")
def short_documents() -> Iterator[None]:
    """Short documents are indented in batches, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_content, "_AT_ONCE_BYTES", 0)
        yield


inners = st.builds(Inner, st.text(), st.lists(st.integers(-(2**63), 2**64 - 1), max_size=3))


def repeated(some: list[Any], number: int) -> list[Any]:
    return [some[at % len(some)] for at in range(number)] if some else []


@given(
    st.text(),
    st.lists(inners, max_size=5),
    st.none() | st.text(),
    st.lists(st.text() | inners | st.booleans() | st.none(), max_size=5),
    st.sampled_from([1, 63, AT_ONCE, AT_ONCE + 1, AT_ONCE + 64, 1000]),
    st.sampled_from([0, 2, AT_ONCE + 1]),
)
def test_the_bytes_of_batches_are_those_of_the_whole(
    first: str, rows: list[Inner], between: str | None, others: list[Any], long: int, other: int
) -> None:
    record = Outer(first, repeated(rows, long), between, repeated(others, other))
    for one in (record, record.rows, record.all, first):
        assert b"".join(json_content.pieces_of(one)) == json_content.json(one)


def test_what_looks_like_a_list_in_a_string_is_left_alone() -> None:
    trap = '\n  "the rows": [\n    0\n  ]'
    record = Outer(trap, [Inner(trap, [0])] * 600, trap, [0] * 600)
    made = b"".join(json_content.pieces_of(record))
    assert made == json_content.json(record)
    assert standard.loads(made) == {
        "first": trap,
        "the rows": [{"name": trap, "numbers": [0]}] * 600,
        "between": trap,
        "All": [0] * 600,
    }


def test_lines_that_could_not_be_decoded_are_the_last() -> None:
    rows: Rows[Inner] = Rows()
    rows.extend([Inner("a", [])] * 600)
    rows.keep(601, b"odd", ValueError("odd"))
    made = b"".join(json_content.pieces_of(rows))
    assert made == json_content.json(rows)
    assert standard.loads(made)[-1]["line"] == "odd"


def test_a_long_list_is_given_piece_by_piece_once_all_of_it_is_encoded() -> None:
    record = Outer("", [Inner("x" * 1000, [])] * 6400, "", [])
    sizes = [len(piece) for piece in json_content.pieces_of(record)]
    assert len(sizes) > 100 and max(sizes) < 100_000
    wrong = Outer("", [*record.rows, Inner("", [2**64])], "", [])
    with pytest.raises((ValueError, OverflowError)):
        next(json_content.pieces_of(wrong))
