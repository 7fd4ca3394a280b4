"""Contents that are found again: by what the file says now, and no more than so many bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from procmirror.decoding.known_contents import KnownContents
from procmirror.decoding.render import content_of
from procmirror.decoding.view import DecodeError, Machine, View

MACHINE = Machine(users={0: "root"})
LONGEST, MOST = 1 << 14, 1 << 20


class Counted:
    """A view of a file that counts how often it is decoded."""

    def __init__(self, name: str = "PID/counted") -> None:
        self.calls = 0
        self.view = View(name, list[str], self._decoded, text=lambda record, _: f"{record}\n")

    def _decoded(self, raw: bytes, machine: Machine) -> list[str]:
        self.calls += 1
        if raw == b"odd":
            raise ValueError("odd")
        return [raw.decode(), machine.users.get(0, "?")]


def test_what_a_file_says_again_is_made_once() -> None:
    counted, known = Counted(), KnownContents(LONGEST, MOST)
    first = known.content(counted.view, "json", b"a", MACHINE)
    assert first == content_of(counted.view, "json", ["a", "root"], MACHINE)
    assert known.content(counted.view, "json", bytes(bytearray(b"a")), MACHINE) is first
    assert counted.calls == 1


def test_whatever_a_content_depends_on_makes_another() -> None:
    one, other, known = Counted(), Counted("PID/other"), KnownContents(LONGEST, MOST)
    toor = replace(MACHINE, users={0: "toor"})
    made = [
        known.content(view, suffix, raw, machine)
        for _ in "12"
        for view in (one.view, other.view)
        for suffix in ("json", "txt")
        for machine in (MACHINE, toor)
        for raw in (b"a", b"ab")
    ]
    assert made[: len(made) // 2] == made[len(made) // 2 :]
    assert [content.decode().split()[1:3] for content in made[:8]] == [
        ['"a",', '"root"'],
        ['"ab",', '"root"'],
        ['"a",', '"toor"'],
        ['"ab",', '"toor"'],
        ["'root']"],
        ["'root']"],
        ["'toor']"],
        ["'toor']"],
    ]


def test_a_file_that_does_not_decode_is_refused_each_time() -> None:
    counted, known = Counted(), KnownContents(LONGEST, MOST)
    for _ in "12":
        with pytest.raises(DecodeError, match="odd"):
            known.content(counted.view, "json", b"odd", MACHINE)
    assert counted.calls == 2


def test_what_is_kept_is_bounded() -> None:
    counted, known = Counted(), KnownContents(LONGEST, 10_000)
    for number in range(1000):
        known.content(counted.view, "json", b"%d" % number, MACHINE)
        kept = known._known._values
        assert sum(len(raw) + len(one[1]) for (_, _, raw), one in kept.items()) < 10_000
        assert len(kept) < 30


def test_a_long_content_is_not_kept() -> None:
    counted, known = Counted(), KnownContents(LONGEST, MOST)
    for _ in "12":
        known.content(counted.view, "json", b"a" * LONGEST, MACHINE)
    assert counted.calls == 2


def test_of_more_contents_than_are_kept_many_are_found_again() -> None:
    """Who reads `status.json` of a thousand processes reads them in the same order each time."""
    counted, known = Counted(), KnownContents(LONGEST, 60 * 420)
    for _ in range(5):
        counted.calls = 0
        for number in range(100):
            made = known.content(counted.view, "json", b"%d" % number, MACHINE)
            assert b'"%d"' % number in made
    assert counted.calls < 70
    kept = known._known._values
    assert known._known._weight == sum(len(key[2]) + len(one[1]) + 400 for key, one in kept.items())
