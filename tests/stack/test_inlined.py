"""Inlined functions by debug information, against addr2line and eu-addr2line."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack.debug_sections import Sections
from procmirror.stack.dwarf_inlined import InlinedFunctions
from procmirror.stack.dwarf_names import Names
from procmirror.stack.dwarf_units import Addresses
from procmirror.stack.elf import Elf
from procmirror.stack.source_lines import Late, SourceLines
from procmirror.stack.target import Blob
from procmirror.views.pid import stack, stack_folded
from tests.live_target import LiveTarget
from tests.stack.inlined import by, differ, ours
from tests.stack.lines import addresses, opened
from tests.stack.targets import compiled, running

BUILDS = (
    ("threads.cpp", "-O2", "-gdwarf-5"),
    ("threads.cpp", "-O3", "-gdwarf-4", "-ffunction-sections", "-gz"),
    ("frames.c", "-O2", "-gdwarf-5", "-flto"),
)


@pytest.mark.parametrize("build", BUILDS, ids=" ".join)
def test_every_chain_as_addr2line(build: tuple[str, ...], tmp_path: Path) -> None:
    program = compiled(build[0], tmp_path, *build[1:])
    wanted = addresses(opened(program), 300)
    mine = ours(opened(program), wanted)
    tools = (by("eu-addr2line", program, wanted), by("addr2line", program, wanted))
    both = zip(mine, *tools, strict=True)
    assert not [one for one in both if one[0] and differ(one[0], one[1], one[2])]
    assert sum(bool(one and one[0]) for one in mine) > 15


def test_the_text_and_the_folded_stack_have_them(tmp_path: Path) -> None:
    program = compiled("inlined.c", tmp_path, "-g", "-O2")
    with running(program) as pid:
        while True:
            found = stack.join(LiveTarget(f"/proc/{pid}"), Machine())
            if not found.threads[0].without_lines:
                break
    text = "".join(stack.text(found, Machine()))
    at = r"\S*inlined\.c:"
    assert re.search(
        rf" inl +inner +{at}12\n +inl +middle +{at}13\n +#\d+ +outer\+\S+ +\S+ +{at}14\n", text
    )
    assert "inl a function that the compiler made part of the next one" in text
    assert ";outer;middle_[i];inner_[i];" in "".join(stack_folded.folded(found, Machine()))


def test_work_goes_on_where_the_time_was_over(tmp_path: Path) -> None:
    program = compiled("threads.cpp", tmp_path, "-g", "-O2")
    elf = opened(program)
    wanted = addresses(elf, 300)
    at = next(
        one for one, chain in zip(wanted, ours(elf, wanted), strict=True) if chain and chain[0]
    )
    elf.memo.clear()
    late, now = 0, 0.0

    def clock() -> float:
        nonlocal now
        now += 0.07
        return now

    while True:
        lines = SourceLines(clock)
        try:
            lines.at(elf, at)
            found = lines.inlined(elf, at)
        except Late:
            late += 1
            assert late < 200
            continue
        break
    assert late
    assert found == SourceLines(lambda: 0.0).inlined(elf, at) != []


def test_each_name_is_within_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may be in a unit of its own, which takes long to read."""
    elf = opened(compiled("threads.cpp", tmp_path, "-g", "-O2"))
    wanted = addresses(elf, 80)
    chains = zip(wanted, ours(elf, wanted), strict=True)
    at = next(one for one, chain in chains if chain and len(chain[0]) > 1)
    elf.memo.clear()
    now = 0.0

    def slow(names: Names, sections: Sections, entry: int) -> bytes | None:
        nonlocal now
        now += 1.0 if entry not in names._known else 0.0
        return usual(names, sections, entry)

    usual = Names.name
    monkeypatch.setattr(Names, "name", slow)
    assert SourceLines(lambda: now).at(elf, at)
    with pytest.raises(Late):
        SourceLines(lambda: now).inlined(elf, at)
    while True:
        began, lines = now, SourceLines(lambda: now)
        with suppress(Late):
            assert len(lines.inlined(elf, at)) > 1
            break
        assert now == began + 1


class Made:
    """The sections of a program that was made by hand."""

    def __init__(self, kinds: bytes, entries: bytes) -> None:
        unit = struct.pack("<HIB", 4, 0, 8) + entries
        self._known = {b"abbrev": kinds, b"info": struct.pack("<I", len(unit)) + unit}

    def piece(self, name: bytes, offset: int, size: int) -> bytes:
        return self._known[name][offset : offset + size]


def steps(made: Any, ranges: Callable[[tuple[int, int]], list[tuple[int, int]]]) -> Iterator[None]:
    return InlinedFunctions().steps(made, 0, Addresses(ranges, lambda index: index))


# A unit with inlined functions of one byte each, whose ranges are in one list.
UNIT, INLINED = b"\1\x11\1\0\0", b"\2\x1d\0\x55\x21\0"


def test_long_lists_of_ranges_are_within_the_time() -> None:
    """Sixty-five thousand empty ranges take 20 ms, and each of a million functions may have them."""
    asked = 0

    def ranges(_: tuple[int, int]) -> list[tuple[int, int]]:
        nonlocal asked
        asked += 1
        return [(5, 5)] * 4096

    made = Made(UNIT + INLINED + b"\0\0" + b"\0", b"\1" + b"\2" * 50)
    assert [asked for _ in steps(made, ranges)] == list(range(50))


@pytest.mark.parametrize(("kinds", "attributes"), [(1, 1000), (2000, 100)])
def test_attributes_without_measure_are_refused(kinds: int, attributes: int) -> None:
    """Each of a million entries of a byte would take as long as a million attributes."""
    many = b"".join(
        leb(2 + kind) + INLINED[1:] + b"\3\x21\0" * attributes + b"\0\0" for kind in range(kinds)
    )
    with pytest.raises(ValueError, match="too many"):
        list(steps(Made(UNIT + many + b"\0", b"\1\2"), lambda _: []))


@pytest.mark.parametrize("count", [256, 257])
def test_no_thousands_of_functions_are_inlined_at_one_address(count: int) -> None:
    """Each has a name, which takes milliseconds to read and to make readable."""
    found = InlinedFunctions()
    made: Any = Made(UNIT + INLINED + b"\0\0" + b"\0", b"\1" + b"\2" * count)
    list(found.steps(made, 0, Addresses(lambda _: [(5, 9)], lambda index: index)))
    if count == 256:
        assert len(found.holding(5)) == count
        return
    with pytest.raises(ValueError, match="too many"):
        found.holding(5)


def test_the_inner_function_comes_first_where_the_outer_is_in_pieces() -> None:
    """By their addresses alone the piece of the outer one, which begins later, is the inner one."""
    outer = b"\2\x1d\1\x55\x21\0\x59\x21\x0a\0\0"
    inner = b"\3\x1d\0\x55\x21\1\x59\x21\x14\0\0"
    found = InlinedFunctions()
    made: Any = Made(UNIT + outer + inner + b"\0", b"\1\2\3\0\0")
    pieces = {0: [(0, 5), (5, 10)], 1: [(0, 10)]}
    list(found.steps(made, 0, Addresses(lambda value: pieces[int(value[1])], lambda index: index)))
    assert [one.line for one in found.holding(7)] == [20, 10]


def leb(number: int) -> bytes:
    return bytes((number & 127 | 128, number >> 7))


def test_broken_debug_information_does_no_harm(tmp_path: Path) -> None:
    raw = Path(compiled("frames.c", tmp_path, "-g", "-O2")).read_bytes()
    places = [one for name, one in Elf(Blob(raw)).by_name.items() if name.startswith(b".debug_")]
    wanted = addresses(Elf(Blob(raw)), 20)
    chance = random.Random(11)
    for _ in range(60):
        broken = bytearray(raw)
        for _ in range(chance.randrange(1, 60)):
            place = chance.choice(places)
            at = place.offset + chance.randrange(place.size)
            broken[at] = chance.choice((0, 255, chance.randrange(256)))
        elf = Elf(Blob(bytes(broken)))
        lines = SourceLines(lambda: 0.0)
        for address in wanted:
            lines.at(elf, address)
            assert len(lines.inlined(elf, address)) <= 256
