"""Every view against its captured files, and every decoder against bytes that nobody promised."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.decoding.render import rendered
from procmirror.decoding.view import DecodeError, Machine, View
from procmirror.views import VIEWS
from tests.fixtures import CHANGED, FIXTURES, JSON, Fixture, Folder
from tests.properties import examples
from tests.schemas import CONTROL, schema, validator

DECODED = [view for view in VIEWS if view.decode is not None]


def names(view: View) -> str:
    return view.name


@pytest.mark.parametrize("view", VIEWS, ids=names)
def test_every_view_has_a_fixture_for_each_suffix(view: View) -> None:
    assert {fixture.suffix for fixture in FIXTURES if fixture.row == view.name} == set(
        view.suffixes
    )


def test_names_are_unique() -> None:
    assert len({view.name for view in VIEWS}) == len(VIEWS)


@pytest.mark.parametrize("fixture", FIXTURES, ids=str)
def test_a_captured_file_gives_the_expected_bytes(fixture: Fixture) -> None:
    assert fixture.content().decode() == fixture.expected.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "fixture", [fixture for fixture in FIXTURES if fixture.suffix in JSON], ids=str
)
def test_expected_json_is_strict_and_follows_its_schema(fixture: Fixture) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    text = fixture.expected.read_text(encoding="utf-8")
    checker = validator(fixture.view)
    for document in text.splitlines() if fixture.suffix == "ndjson" else [text]:
        checker.validate(json.loads(document, parse_constant=refuse))


def described(part: Any, path: str) -> Iterator[str]:
    """The paths of the properties of a schema that have no description."""
    if isinstance(part, dict):
        for name, value in part.get("properties", {}).items():
            if "description" not in json.dumps(value) and "$ref" not in json.dumps(value):
                yield f"{path}.{name}"
        for key, value in part.items():
            yield from described(value, f"{path}.{key}")
    elif isinstance(part, list):
        for value in part:
            yield from described(value, path)


# What looks like a time and is none, or is as the hardware or the build of the kernel has it.
NO_TIMES = {"interrupts", "iomem", "net/arp", "net/dev_mcast", "driver/rtc", "version"} | {
    "bus/input/devices",
    "PID/fd",
    "PID/fdinfo/N",
}
A_TIME = re.compile(
    r"(?:19|20)\d\d[-/.]\d\d|\d\d:\d\d:\d\d|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[ ,]"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ?\d"
)
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
WITH_PORT = re.compile(r"(?:\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\]|\*):(?:\d+|\*)")
JSONS = [one for one in FIXTURES if one.suffix in {"json", "ndjson"}]


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield value
    for one in below:
        yield from objects(one)


def words(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of an object by their fields, those of an array too."""
    for name, one in value.items():
        yield from (
            (name, each)
            for each in (one if isinstance(one, list) else [one])
            if isinstance(each, str)
        )


@pytest.mark.parametrize("fixture", JSONS, ids=str)
def test_values_are_made_for_programs(fixture: Fixture) -> None:
    lines = fixture.expected.read_bytes()
    parts = lines.splitlines() if fixture.suffix == "ndjson" else [lines]
    found = [one for part in parts for one in objects(json.loads(part))]
    texts = [one for each in found for one in words(each)]
    if fixture.row not in NO_TIMES:
        assert [one for one in texts if A_TIME.search(one[1]) and not ISO.fullmatch(one[1])] == []
    for one in found:
        for name, text in words(one):
            with_port = WITH_PORT.fullmatch(text) and not isinstance(one[name], list)
            assert not with_port or {f"{name}_address", f"{name}_port"} <= set(one), (name, text)
            # A file may be called so; the raw text has the mark twice then.
            marked = text.endswith(" (deleted)") and "deleted" in one
            assert not marked or f"{text} (deleted)".encode() in fixture.raw.read_bytes()


@pytest.mark.parametrize("view", VIEWS, ids=names)
def test_every_field_is_described(view: View) -> None:
    made = schema(view)
    jsonschema.Draft202012Validator.check_schema(made)
    assert list(described(made, "")) == []


class Everywhere(Folder):
    """A folder whose files all have the same bytes, for a view of one file or of several."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(Path())
        self._raw = raw

    def read(self, path: str) -> bytes:
        del path
        return self._raw


def harmless(view: View, raw: bytes) -> None:
    """A record that renders in every format, or DecodeError.

    Nothing else, and no control character in a text.
    """
    machine, record = Machine(), None
    for suffix in view.suffixes:
        try:
            # A stream of records is used up by one format.
            if record is None or isinstance(record, Iterator):
                record = view.record_of(Everywhere(raw), machine)
            content = b"".join(rendered(view, suffix, record, machine))
        except DecodeError:
            return
        text = content.decode()
        assert not CONTROL.search(text)
        if suffix == "json":
            json.loads(text)


@pytest.mark.parametrize("view", DECODED, ids=names)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=st.binary(max_size=200))
def test_any_bytes_give_a_record_or_decode_error(view: View, raw: bytes) -> None:
    harmless(view, raw)


@pytest.mark.parametrize(
    "fixture", [one for one in CHANGED if one.view.decode and one.suffix == "json"], ids=str
)
def test_a_captured_file_cut_anywhere_gives_a_record_or_decode_error(fixture: Fixture) -> None:
    raw = fixture.raw.read_bytes()
    step = max(1, len(raw) // examples(400))
    for end in [*range(0, len(raw), step), *range(min(examples(64), len(raw)))]:
        harmless(fixture.view, raw[:end])


UNSAFE = [b"\x1b[2J", b"\x07", b"\x9b", b"\xc2\x9b", b"\r", b"\x0b", b"\x7f"]
UNSAFE += [mark.encode() for mark in "\u202e\u2066\u200e\u061c\u2028\u200b\ufeff\U000e0041"]
TEXTS = [one for one in CHANGED if one.view.decode and one.suffix == "txt"]


@pytest.mark.parametrize("fixture", TEXTS, ids=str)
def test_no_byte_of_a_file_moves_a_terminal(fixture: Fixture) -> None:
    """Controls and format characters put into a captured file at every place of a name or word."""
    raw = fixture.raw.read_bytes()
    step = max(1, len(raw) // 60)
    for number, at in enumerate(range(0, len(raw), step)):
        unsafe = UNSAFE[number % len(UNSAFE)]
        try:
            text = fixture.content({fixture.view.entry: raw[:at] + unsafe + raw[at:]}).decode()
        except DecodeError:
            continue
        moving = {
            char for char in set(text) if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}
        }
        assert moving <= {"\n"}
