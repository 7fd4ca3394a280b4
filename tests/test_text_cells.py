"""Every `.txt`: one word a cell, so that sort(1), awk(1), cut(1) and column(1) work on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from procmirror.decoding.text import NARROW, at_nought, columns, duration, interval, page, size
from procmirror.decoding.view import Machine
from procmirror.kernel.memory import VM_FLAGS
from procmirror.views.sockets import Process, Socket
from procmirror.views.sockets_text import text as sockets_text
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
# The last column that a reader needs within 80 characters, where it is not the last of all: mounts
# has the options, ss(8) and ip(8) show the rest only when asked; the fixture of numa_maps has
# policies and nodes as of a large machine at once.
LAST_OF_80 = {
    "PID/mountinfo": "PROPAGATION",
    "PID/numa_maps": "NODES",
    "net/dev": "DROP",
    "net/nf_conntrack": "REPLY-BYTES",
    "net/tcp": "PEER",
    "net/tcp6": "PEER",
    "net/udp6": "PEER",
    "sockets": "PROCESS",
    "sysvipc/shm": "LAST",
}
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
        if end - start > NARROW:
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


@pytest.mark.parametrize("name", VM_FLAGS.values())
def test_a_flag_of_a_mapping_is_one_word(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)


def test_the_names_of_what_is_nought_stand_in_lines_that_a_terminal_does_not_break() -> None:
    names = [f"a_counter_{number}" for number in range(100)]
    lines = at_nought(names).splitlines()
    assert [name for line in lines for name in line.split()[1:]] == names
    assert {line.split()[0] for line in lines} == {"at-0"}
    assert max(map(len, lines)) <= 80 and at_nought([]) == ""


@pytest.mark.parametrize("fixture", TEXTS, ids=str)
def test_the_columns_of_a_table_begin_within_80_characters(fixture: Fixture) -> None:
    lines = fixture.expected.read_text(encoding="utf-8").splitlines()
    for header in filter(_HEADER.fullmatch, lines):
        last = LAST_OF_80.get(fixture.view.name, header.split()[-1])
        assert header.rindex(last) <= 76, header


def test_the_process_of_a_socket_stands_within_80_characters_whatever_its_address() -> None:
    nginx = tuple(Process(pid, "nginx", [6]) for pid in (45, 46, 47))
    long = "[2001:db8:1111:2222:3333:4444:5555:6666]"
    rows = [
        Socket(
            "tcp", state="ESTABLISHED", local="198.51.100.102:65535", peer="203.0.113.200:65535"
        ),
        Socket("tcp6", state="ESTABLISHED", local=f"{long}:65535", peer=f"{long}:65534"),
        Socket("unix", "stream", state="LISTEN", local="/run/" + "x" * 100, processes=nginx[:1]),
        Socket("tcp", state="LISTEN", local="0.0.0.0:80", peer="0.0.0.0:*", processes=nginx),
    ]
    header, first, *_ = sockets_text(rows, Machine()).splitlines()
    assert header.split()[4] == "PROCESS" and header.index("PROCESS") <= 66
    assert first.split()[3:5] == ["0.0.0.0:*", "nginx(45)+2"]
    assert first.index("nginx(45)+2") == header.index("PROCESS")
    assert first.endswith("  nginx(45) fd 6, nginx(46) fd 6, nginx(47) fd 6")


def test_a_table_that_is_too_wide_for_80_characters_has_narrower_columns() -> None:
    rows = [("a" * 30, "b" * 40, "x"), ("a", "b", "y")]
    assert columns(rows, ("ONE", "TWO", "LAST")).splitlines()[2] == "a    b    y"
    assert columns(rows[1:], ("ONE", "TWO", "LAST")).splitlines()[1] == "a    b    y"
    assert columns([("a" * 30, "x"), ("a", "y")]).splitlines()[1] == f"a{' ' * 29}  y"
