"""Every `.txt`: one word a cell, so that sort(1), awk(1), cut(1) and column(1) work on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from procmirror.decoding.text import WIDE, at_nought, columns, duration, interval, page, size
from tests.fixtures import FIXTURES, Fixture

# Neither tables nor pages: lines of the process itself, sentences, and stacks.
FREE = {
    "PID/cmdline",
    "PID/environ",
    "PID/stack",
    "PID/syscall",
    "PID/waits",
    "cmdline",
    "config.gz",
    "waits",
}
TEXTS = [one for one in FIXTURES if one.suffix == "txt" and one.view.name not in FREE]
_HEADER = re.compile(r"[A-Z][A-Z0-9_%/-]*( +[A-Z][A-Z0-9_%/-]*)+")
_APART = re.compile(
    r"(?<![\w.:/-])-?[0-9][0-9.]* (B|KiB|MiB|GiB|TiB|PiB|s|ms|us|ns|min|h|d|conn)\b"
)


def cells(line: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", line)]


def moved(line: str, header: list[tuple[int, int]]) -> Iterator[str]:
    """The cells of a row that do not stand in their column, but for what is behind a long one."""
    for at, (start, end) in enumerate(cells(line)[: len(header)]):
        first, last = header[at]
        deeper = start > first and at in {0, len(header) - 1}
        if start != first and end != last and not deeper:
            yield line[start:end]
        if end - start > WIDE:
            return


def faults(text: str) -> Iterator[str]:
    header: list[tuple[int, int]] = []
    for line in text.splitlines():
        if _APART.search(line):
            yield f"a number and its unit apart: {line}"
        if line.startswith("incomplete: "):
            continue
        if _HEADER.fullmatch(line.strip()):
            header = cells(line)
        elif not line:
            header = []
        elif header:
            if len(cells(line)) < len(header) - 1:
                yield f"cells are missing: {line}"
            yield from (f"{cell} is not in its column: {line}" for cell in moved(line, header))
        elif "  " in (key := line.strip()) and " " in key.split("  ")[0]:
            yield f"a key of several words: {line}"


@pytest.mark.parametrize("fixture", TEXTS, ids=str)
def test_each_cell_of_a_text_is_one_word_in_its_column(fixture: Fixture) -> None:
    assert list(faults(fixture.expected.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "PID  NAME  RSS  COMMAND\n  1  a     2 KiB  x\n",
        "PID  NAME  COMMAND\n  1  two words  x\n",
        "PID  NAME  COMMAND\n  1\n",
        "cpu time  0.25s\n",
        "up  27 min\n",
    ],
)
def test_a_text_with_several_words_in_a_cell_is_found(text: str) -> None:
    assert list(faults(text))


def test_a_long_name_moves_the_cells_of_its_own_row_only() -> None:
    made = columns([("a" * 200, 1, "x"), ("b", 2, "y")], ("NAME", "COUNT", "WHAT"), right=(1,))
    assert made.splitlines()[2] == "b         2  y"


def test_a_name_with_blanks_is_one_word_and_nothing_is_a_dash() -> None:
    made = columns([("two words", "", "the rest of it"), ("  deep er", None, "")])
    assert [line.split(None, 2) for line in made.splitlines()] == [
        ["two\\x20words", "-", "the rest of it"],
        ["deep\\x20er", "-"],
    ]
    assert made.splitlines()[1].startswith("  deep")


def test_a_page_leaves_out_what_is_empty_but_not_a_word() -> None:
    assert page([("a", 0), ("b", ""), ("c", None), ("d", False), ("e", "0")]) == "e  0\n"


@pytest.mark.parametrize("made", [size(0), duration(0), interval(0), duration(0.0)])
def test_nothing_of_a_unit_is_nought(made: str) -> None:
    assert made == "0"


def test_the_names_of_what_is_nought_stand_in_lines_that_a_terminal_does_not_break() -> None:
    names = [f"a_counter_{number}" for number in range(100)]
    lines = at_nought(names).splitlines()
    assert [name for line in lines for name in line.split()[1:]] == names
    assert {line.split()[0] for line in lines} == {"at-0"}
    assert max(map(len, lines)) <= 80 and at_nought([]) == ""
