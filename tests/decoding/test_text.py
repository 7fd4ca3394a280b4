"""Nothing in a .txt can move a terminal: every character of Unicode, by its category."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.text import (
    columns,
    duration,
    harmless,
    interval,
    printable,
    printable_lines,
    ranges,
    size,
)
from procmirror.decoding.view import Machine, View

# Controls, formats (bidirectional controls, zero-width characters and tags among them), surrogates,
# line and paragraph separators.
UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
EVERY = [chr(code) for code in range(sys.maxunicode + 1)]
BAD = [char for char in EVERY if unicodedata.category(char) in UNSAFE]
# Joiners that scripts and emoji need: they move nothing.
JOINERS = "\u200c\u200d"


@pytest.mark.parametrize("make", [printable, harmless], ids=lambda make: make.__name__)
def test_no_character_that_moves_a_terminal_comes_out(make: Any) -> None:
    out = make("".join(char for char in BAD if char not in f"\n{JOINERS}"))
    assert {unicodedata.category(char) for char in out} <= {"Ll", "Lu", "Nd", "Po"}


def test_all_other_characters_stay_as_they_are() -> None:
    # A code point without a character yet may become a format character.
    good = "".join(char for char in EVERY if unicodedata.category(char) not in {*UNSAFE, "Cn"})
    good += JOINERS
    assert printable(good) == harmless(good) == good


def test_a_newline_ends_a_line_only_in_a_whole_text() -> None:
    assert printable("a\nb") == r"a\nb"
    assert harmless("a\nb") == "a\nb"


@pytest.mark.parametrize(
    ("char", "shown"),
    [
        ("\x1b", r"\x1b"),
        ("\r", r"\r"),
        ("\x9b", r"\x9b"),
        ("\u061c", r"\u061c"),
        ("\u200b", r"\u200b"),
        ("\u200e", r"\u200e"),
        ("\u2028", r"\u2028"),
        ("\u2066", r"\u2066"),
        ("\ufeff", r"\ufeff"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_unsafe_is_shown_by_its_number(char: str, shown: str) -> None:
    assert printable(f"a{char}b") == f"a{shown}b"


def test_lines_are_checked_one_by_one() -> None:
    assert printable_lines(["a", "b\nc", "d\u202e"]) == "a\nb\\nc\nd\\u202e\n"
    assert printable_lines(["a", "b"]) == "a\nb\n"


def test_a_cell_cannot_end_its_line() -> None:
    assert columns([("a\n", 1), ("b", 22)], right=(1,)) == "a\\n   1\nb    22\n"


def test_the_rendering_is_the_last_defence() -> None:
    view = View("x", str, lambda raw, _: raw.decode(), text=lambda record, _: record)
    out = b"".join(rendered(view, "txt", "a\x1b[2J\u202e\nb\n", Machine()))
    assert out.decode() == "a\\x1b[2J\\u202e\nb\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.25, "0.25s"),
        (59.99, "59.99s"),
        (60, "1m00s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (86400, "1d00h"),
        (-61, "-1m01s"),
    ],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(None, "-"), (0, "0"), (1023, "1023B"), (1024, "1.0KiB"), (-2048, "-2.0KiB")],
)
def test_sizes(count: int | None, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0"), (5e-5, "50us"), (0.0015, "1.5ms"), (59, "59s"), (60, "1m00s")],
)
def test_intervals(seconds: float, words: str) -> None:
    assert interval(seconds) == words


@pytest.mark.parametrize("around", ["plain", "\u00e9"], ids=["ascii", "beyond ascii"])
@pytest.mark.parametrize("code", [*range(0x20), 0x7F])
def test_each_control_of_ascii_is_escaped_whatever_stands_around_it(around: str, code: int) -> None:
    text = f"{around}{chr(code)}{around}"
    assert chr(code) not in printable(text)
    assert printable_lines([text]) == printable(text) + "\n"
    assert (chr(code) in harmless(text)) == (chr(code) == "\n")


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [([], "-"), ([3], "3"), ([0, 1], "0-1"), ([0, 2, 3, 4, 9], "0,2-4,9")],
)
def test_lists_of_cpus_are_shown_as_the_kernel_prints_them(numbers: list[int], shown: str) -> None:
    assert ranges(numbers) == shown
