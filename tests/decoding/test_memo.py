"""Decoders that remember: by the whole text and the facts, and no more than so many."""

from __future__ import annotations

from dataclasses import replace

import pytest

from procmirror.decoding import memo
from procmirror.decoding.memo import Memo
from procmirror.decoding.view import Machine, Stamp

MACHINE = Machine(users={0: "root"}, groups={0: "root"}, boot_time=7.0)


class Counted:
    """A decoder of lines that counts what it is asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, raw: bytes, machine: Machine) -> tuple[bytes, str | None]:
        self.calls += 1
        return raw, machine.users.get(0)


def test_the_same_text_is_decoded_once() -> None:
    decode = Counted()
    remembering = Memo(decode)
    assert remembering(b"a", MACHINE) is remembering(bytes(bytearray(b"a")), MACHINE)
    assert decode.calls == 1


def test_another_text_is_another_record() -> None:
    remembering = Memo(Counted())
    said = [remembering(raw, MACHINE) for raw in (b"a", b"a ", b"a", b"")]
    assert [raw for raw, _ in said] == [b"a", b"a ", b"a", b""]


@pytest.mark.parametrize(
    "other",
    [
        {"users": {0: "toor"}},
        {"groups": {}},
        {"boot_time": 8.0},
        {"page_size": 1 << 16},
        {"ticks": 250},
        {"namespaces": {"net": "net:[1]"}},
        {"architecture": "aarch64"},
        {"byte_order": "big"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_facts_are_another_record(other: dict[str, object]) -> None:
    decode = Counted()
    remembering = Memo(decode)
    changed = replace(MACHINE, **other)  # type: ignore[arg-type]
    for facts in (MACHINE, changed, MACHINE):
        assert remembering(b"a", facts) == (b"a", facts.users.get(0))
    assert decode.calls == 3


def test_the_time_of_a_stamp_is_no_fact_of_a_record() -> None:
    decode = Counted()
    remembering = Memo(decode)
    for second in "12":
        remembering(b"a", replace(MACHINE, stamp=Stamp("host", None, second)))
    assert decode.calls == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_MOST", 3)
    decode = Counted()
    remembering = Memo(decode)
    for number in range(10):
        remembering(b"%d" % number, MACHINE)
        assert len(remembering._known._values) <= 3
    assert remembering(b"0", MACHINE)[0] == b"0"
    assert decode.calls == 11


def test_a_long_text_is_not_kept() -> None:
    decode = Counted()
    remembering = Memo(decode)
    for _ in "12":
        remembering(b"a" * (1 << 12), MACHINE)
    assert decode.calls == 2


def test_a_number_of_more_than_64_bits_is_refused_each_time() -> None:
    remembering = Memo(lambda raw, _: int(raw))
    assert remembering(b"18446744073709551615", MACHINE) == 2**64 - 1
    for _ in "12":
        with pytest.raises(ValueError, match="more than 64 bits"):
            remembering(b"18446744073709551616", MACHINE)


def test_of_more_texts_than_are_kept_many_are_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A walk over a thousand processes reads them in the same order each time."""
    monkeypatch.setattr(memo, "_MOST", 60)
    decode = Counted()
    remembering = Memo(decode)
    for _ in range(5):
        decode.calls = 0
        for number in range(100):
            assert remembering(b"%d" % number, MACHINE)[0] == b"%d" % number
    assert decode.calls < 60


def test_what_comes_no_more_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_MOST", 60)
    decode = Counted()
    remembering = Memo(decode)
    for number in range(60):
        remembering(b"old %d" % number, MACHINE)
    for _ in range(20):
        decode.calls = 0
        for number in range(50):
            remembering(b"%d" % number, MACHINE)
    assert not decode.calls
