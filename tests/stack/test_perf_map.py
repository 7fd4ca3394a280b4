"""Names of generated code: the last line that a compiler wrote of an address."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from errno import EIO

import pytest

from procmirror.stack import perf_map
from procmirror.stack.perf_map import MOST_LINES, PerfMap
from procmirror.stack.target import Blob
from tests.stack.crafted import Crafted


def names(text: bytes, *addresses: int) -> list[bytes | None]:
    found = [PerfMap(Blob(text)).holding(address) for address in addresses]
    return [one and one[0] for one in found]


def test_code_that_was_made_in_the_place_of_other_code() -> None:
    assert names(b"1000 100 old\n1000 80 new\n", 0x1010, 0x1090) == [b"new", None]
    text = b"1080 20 old\n1000 200 new\n"
    assert names(text, 0x1000, 0x1090, 0x10B0, 0x1200) == [b"new", b"new", b"new", None]
    assert names(b"1000 80 old\n1000 80 new\n", 0x1000) == [b"new"]


def test_functions_that_only_touch_each_other_are_all_there() -> None:
    text = b"1080 80 two\n1000 80 one\n1100 8 three of them\nno line\n1050 0 label\n"
    wanted = [None, b"one", b"one", b"two", b"three of them", None]
    assert names(text, 0xFFF, 0x1000, 0x107F, 0x1080, 0x1107, 0x1108) == wanted
    assert PerfMap(Blob(text)).holding(0x1090) == (b"two", 0x1080)


def by_looking_at_all(lines: list[tuple[int, int]], address: int) -> bytes | None:
    """The last line with the address, if no later line has a byte of its range."""
    for at, (start, size) in reversed(list(enumerate(lines))):
        if start <= address < start + size:
            later = lines[at + 1 :]
            overlapped = any(max(start, a) < min(start + size, a + b) for a, b in later)
            return None if overlapped else b"f%d" % at
    return None


@pytest.mark.parametrize("seed", range(200))
def test_any_list_is_as_by_looking_at_all_of_its_lines(seed: int) -> None:
    chance = random.Random(seed)
    most = chance.choice([2, 4, 20])
    lines = [(chance.randint(1, 40), chance.randint(1, most)) for _ in range(chance.randint(1, 15))]
    text = b"".join(b"%x %x f%d\n" % (*line, at) for at, line in enumerate(lines))
    wanted = [by_looking_at_all(lines, address) for address in range(64)]
    assert names(text, *range(64)) == wanted


def test_of_a_long_list_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_map, "MOST_BYTES", 40)
    text = b"1000 10 first\n2000 10 second\n3000 10 third\n4000 10 fourth\n"
    wanted = [None, None, b"third", b"fourth"]
    assert names(text, 0x1000, 0x2000, 0x3000, 0x4000) == wanted
    monkeypatch.setattr(perf_map, "MOST_LINES", 2)  # the end of the last line is one, too
    assert names(text, 0x1000, 0x2000, 0x3000, 0x4000) == [None, None, None, b"fourth"]


HOSTILE: dict[str, Callable[[int], tuple[int, int]]] = {
    "one over the other": lambda at: (at, 1 << 40),
    "each around the one before": lambda at: (MOST_LINES - at, 2 * at + 1),
    "each inside the one before": lambda at: (at, 2 * (MOST_LINES - at)),
    "one behind the other": lambda at: (16 * at, 16),
    "the same": lambda at: (1, at % 7 + 1),
    "anywhere": lambda at: (at * 7919 % MOST_LINES * 16, at * 104729 % 64 + 1),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_any_long_list_is_read_soon(kind: str) -> None:
    text = b"".join(b"%x %x f\n" % HOSTILE[kind](at) for at in range(MOST_LINES))
    before = time.process_time()
    PerfMap(Blob(text)).holding(1 << 20)
    assert time.process_time() - before < 5


def test_a_list_that_cannot_be_read_has_no_names() -> None:
    class Gone(Blob):
        def pread(self, size: int, offset: int) -> bytes:
            raise OSError(EIO, f"{size} bytes at {offset}")

    assert PerfMap(Gone(b"1000 10 name\n")).holding(0x1000) is None
    assert PerfMap(Crafted(b"", b"", 0).perf_map()).holding(0x1000) is None
