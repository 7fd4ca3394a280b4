"""Rows one by one, columns by the header, and the words of errors."""

from __future__ import annotations

import re

import pytest

from procmirror.decoding.reasons import LineError, reason
from procmirror.decoding.shapes import counter, kilobytes, scaled
from procmirror.decoding.table import Row, columns_of, headless, matched, paragraphs, rows, table
from procmirror.decoding.text import decoded


def pair(row: Row) -> tuple[str, int | None, object]:
    return row("name", decoded), row.may("count", int), row.extra()


def test_columns_are_found_by_the_header() -> None:
    found = table(b"name count more\na 1 x\nb 2 y z\n", "name", pair)
    assert found == [("a", 1, {"more": "x"}), ("b", 2, {"more": "y", "4": "z"})]


def test_a_column_that_is_missing_is_none() -> None:
    ((name, count, _extra),) = table(b"name\na\n", "name", pair)
    assert (name, count) == ("a", None)


def test_a_column_that_every_kernel_has_may_not_be_missing() -> None:
    with pytest.raises(LineError, match="expected a column name"):
        table(b"count\n1\n", "count", pair)


def test_another_header_is_refused() -> None:
    with pytest.raises(LineError, match="expected the header name …, found 'nom n'") as error:
        table(b"nom n\na 1\n", "name", pair)
    assert error.value.line == 1


def test_a_line_that_cannot_be_decoded_is_kept_with_its_number() -> None:
    found = headless(b"a 1\nb x\nc 3\n", "name count", pair)
    assert [name for name, _, _ in found] == ["a", "c"]
    (bad,) = found.undecoded
    assert bad.line == "b x"
    (part,) = bad.incomplete
    assert (part.part, part.reason) == ("line 2", "expected a number, found 'x'")


def test_a_file_of_which_no_line_can_be_decoded_is_another_file() -> None:
    with pytest.raises(LineError) as error:
        headless(b"\na x\n", "name count", pair)
    assert error.value.line == 2


def test_blank_lines_are_no_rows() -> None:
    assert rows(b"a\n\n  \nb\n\n\n", bytes) == [b"a", b"b"]


def test_pieces_begin_at_their_lines() -> None:
    raw = b"a\n 1\n\n \nb\n 2\n"
    found = list(paragraphs(raw, lambda line: not line.startswith(b" ") and line))
    assert found == [(1, b"a\n 1"), (5, b"b\n 2")]


def test_names_of_columns() -> None:
    assert columns_of(b"x\na b c\n", "a b", 1) == ["a", "b", "c"]


def test_what_was_expected_is_said() -> None:
    with pytest.raises(ValueError, match="expected a word, found 'a b'"):
        matched(re.compile(r"\w+"), "a b", "a word")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda: int("x"), "expected a number, found 'x'"),
        (lambda: int(b"g", 16), "expected a hexadecimal number, found 'g'"),
        (lambda: float("x"), "expected a number, found 'x'"),
        (lambda: dict[str, int]()["intr"], "expected intr"),
        ([].pop, "expected more columns or lines"),
        (lambda: len(3), "TypeError"),  # type: ignore[arg-type]
    ],
)
def test_no_words_of_python_are_shown(broken: object, words: str) -> None:
    with pytest.raises(Exception) as error:  # noqa: PT011 - each case raises another
        broken()  # type: ignore[operator]
    assert reason(error.value).startswith(words)


@pytest.mark.parametrize(
    ("number", "signed"),
    [(0, 0), (2**63 - 1, 2**63 - 1), (2**63, -(2**63)), (2**64 - 4, -4), (-7, -7)],
)
def test_counters_have_a_sign(number: int, signed: int) -> None:
    assert counter(str(number)) == signed


@pytest.mark.parametrize(
    ("number", "size"), [(3, 3072), (2**64 - 4, -4096), (2**54 - 1, -1024), (2**53, -(2**63))]
)
def test_sizes_have_a_sign_however_the_kernel_divided(number: int, size: int) -> None:
    assert scaled(str(number), 1024) == size


@pytest.mark.parametrize("number", [2**54, 2**60, 2**63])
def test_a_size_of_more_than_64_bits_is_none(number: int) -> None:
    with pytest.raises(ValueError, match="at most 64 bits"):
        scaled(str(number), 1024)


def test_sizes_below_zero() -> None:
    assert kilobytes(b"18446744073709551612 kB") == -4096
