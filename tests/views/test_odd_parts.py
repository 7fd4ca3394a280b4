"""One odd word in a source of a view of several takes nothing else, and is named.

Words of each source of each joined view are replaced, one at a time. The view must answer all the
same, by its schema; what it tells of all other words must still be there; and where its answer
changes, the odd word stands in it, or a reason more.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.view import DecodeError
from tests.fixtures import Fixture, Folder
from tests.properties import examples
from tests.schemas import CONTROL, validator
from tests.test_conservation import Content
from tests.test_parts import JOINED, asked, excused, is_subject, kind
from tests.views.test_odd_values import HEADERS, ODD, numbers, strict

# NUL is left out: it ends words of some of these files.
WORDS = tuple(one for one in ODD if one != b"\0")
WORD = re.compile(rb"[^\s\0]+")
REASON = re.compile(rb'"reason": ?"((?:[^"\\]|\\.)*)"')
# Of each kind of source, how many words are replaced.
FEW = 24


class Replaced(Folder):
    """A captured folder of which one source has other bytes."""

    def __init__(self, fixture: Fixture, path: str, raw: bytes) -> None:
        super().__init__(fixture.top, itself=fixture.itself)
        self._path, self._raw = path, raw

    def read(self, path: str) -> bytes:
        return self._raw if path == self._path else super().read(path)

    def part(self, path: str, offset: int, size: int) -> bytes:
        return (
            self._raw[offset : offset + size]
            if path == self._path
            else super().part(path, offset, size)
        )


def content(fixture: Fixture, source: Folder) -> bytes:
    record = fixture.view.record_of(source, fixture.machine)
    return b"".join(rendered(fixture.view, fixture.suffix, record, fixture.machine))


def still_answers(fixture: Fixture, path: str, raw: bytes) -> None:
    """A view with these bytes in one source answers in every format, and is harmless.

    AssertionError for a control character in a text; DecodeError or OSError where the source that
    it is about has no known form, and nothing else.
    """
    for suffix in fixture.view.suffixes:
        try:
            said = content(replace(fixture, suffix=suffix), Replaced(fixture, path, raw))
        except (DecodeError, OSError):
            if is_subject(fixture.view.name, kind(("read", path))):
                return
            raise
        text = said.decode()
        assert not CONTROL.search(text)
        for one in said.splitlines() if suffix == "ndjson" else [said] * (suffix == "json"):
            json.loads(one)


def sources(fixture: Fixture) -> dict[str, bytes]:
    """The bytes of each file that a view reads, of each kind of path the first two."""
    found: dict[str, bytes] = {}
    kinds: dict[str, int] = {}
    for verb, path in asked(fixture):
        place = kind((verb, path))
        if verb in {"names", "link"} or kinds.get(place, 0) > 1:
            continue
        try:
            found[path] = Folder(fixture.top, itself=fixture.itself).read(path)
        except OSError:
            continue
        kinds[place] = kinds.get(place, 0) + 1
    return found


def mutated(
    fixture: Fixture, path: str, raw: bytes, count: int
) -> Iterator[tuple[re.Match[bytes], bytes, bytes]]:
    """Words of a source, what stands in the place of each, and the source then."""
    titled = (path, f"PID/{path}", path[path.find("net/") :])
    header = max(HEADERS.get(one, 0) for one in titled)
    below = sum(map(len, raw.splitlines(keepends=True)[:header]))
    words = list(WORD.finditer(raw[: 1 << 18], below))
    chosen = random.Random(f"{fixture} {path}")
    for at in range(min(count, len(words) * len(WORDS))):
        word = words[at] if len(words) < count and at < len(words) else chosen.choice(words)
        odd = WORDS[at % len(WORDS)]
        if not is_key(word):
            yield word, odd, raw[: word.start()] + odd + raw[word.end() :]


# Lines of `status` that say whose it is; and any word is a state.
WHOSE = (b"Name:", b"State:", b"Pid:", b"PPid:", b"Tgid:")


def is_key(word: re.Match[bytes]) -> bool:
    """Whether a word says what others are: a key, the name of a row, whose file it is."""
    raw = word.string
    line = raw[raw.rfind(b"\n", 0, word.start()) + 1 : word.start()]
    process = re.match(rb"\d+ \(.*\) \S ", raw, re.DOTALL)
    return (
        word[0].endswith(b":")
        or line.startswith(WHOSE)
        or (process is not None and word.start() < process.end())
        or (not line and raw.startswith((b"cpu ", b"some ", b"full ")))
    )


def named(fixture: Fixture, odd: bytes, usual: bytes, said: bytes) -> bool:
    """Whether an answer that changed has the odd word, as it is or as a number, or a new reason."""
    text = odd.decode("utf-8", "backslashreplace")
    shown = json.dumps(text[:9])[1:-1].encode()
    return (
        said == usual
        or bool(set(REASON.findall(said)) - set(REASON.findall(usual)))
        or shown in said
        or (text.lstrip("-").isdecimal() and len(text) < 30 and Content(fixture, said).has(text))
    )


def rows(fixture: Fixture, said: bytes, checker: Any) -> list[Any]:
    """The records of an answer, by its schema."""
    found = [json.loads(one) for one in (said.splitlines() if fixture.view.ndjson else [said])]
    for one in found:
        checker.validate(one)
    return found if len(found) != 1 or not isinstance(found[0], list) else found[0]


# What another word is, and why nothing is told of it.
EXEMPT = {
    ("PID/auxv", "auxv"): "a vector of words, of which one that is cut makes all others",
    ("PID/syscall", "syscall"): "the registers of one moment",
    ("PID/task", "task/N/comm"): "any word is a name",
}
# Sources whose numbers, fractions and masks, the answer has in another form.
DERIVED = ("uptime", "loadavg", "tainted", "affinity_hint", "spurious")
# What is told of a line with the numbers of another source.
WITH_OTHERS = {
    ("PID/limits", "limits"): "the use stands with the limit, which is odd",
    ("fs/jbd2", "jbd2/dm-N-N/info"): "a journal without transactions has one line",
    ("irq", "uptime"): "a time that is later than the uptime is told as it is printed",
}


@pytest.mark.parametrize("fixture", JOINED, ids=str)
def test_one_odd_word_in_a_source_takes_nothing_else(fixture: Fixture) -> None:
    usual = content(fixture, Folder(fixture.top, itself=fixture.itself))
    read, before = sources(fixture), strict(Content(fixture, usual))
    checker = validator(fixture.view)
    least = len(rows(fixture, usual, checker)) - 1
    told = {one for raw in read.values() for one in numbers(raw) if before.has(one)}
    for path, raw in read.items():
        name = fixture.view.name, kind(("read", path))
        if name in EXEMPT:
            continue
        others = set().union(*(numbers(one) for other, one in read.items() if other != path))
        for word, odd, changed in mutated(fixture, path, raw, examples(FEW)):
            said = content(fixture, Replaced(fixture, path, changed))
            what = f"{path}: {word[0][:30]!r} as {odd[:9]!r}"
            assert len(rows(fixture, said, checker)) >= least, what
            rest = (others | numbers(elsewhere(word))) - numbers(line_of(word))
            after = strict(Content(fixture, said))
            lost = {one for one in rest & told if not after.has(one)}
            assert not lost or name in WITH_OTHERS, f"{what} takes {lost}"
            if not path.endswith(DERIVED) and not excused(*name):
                assert named(fixture, odd, usual, said), f"{what} is not named"


def line_of(word: re.Match[bytes]) -> bytes:
    """The line that a word is in; of a file of one line, the word."""
    raw = word.string
    start, end = raw.rfind(b"\n", 0, word.start()) + 1, raw.find(b"\n", word.end())
    if start == 0 and end in {-1, len(raw) - 1}:
        return word[0]
    return raw[start:end] if end >= 0 else raw[start:]


def elsewhere(word: re.Match[bytes]) -> bytes:
    """What stands in other lines; of a file of one line, in its other columns."""
    return word.string.replace(line_of(word), b" ", 1)
