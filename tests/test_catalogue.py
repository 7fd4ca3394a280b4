"""What the views say about themselves: the list, the look-up by file name, and docs/VIEWS.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procmirror.cli.catalogue import listing, markdown, sentence
from procmirror.cli.schema_fields import fields, kind
from procmirror.decoding.render import schema
from procmirror.decoding.view import View
from procmirror.mirror.find import files, find
from procmirror.views import VIEWS

DOCUMENT = Path(__file__).parent.parent / "docs" / "VIEWS.md"


def names(view: View) -> str:
    return view.name


@pytest.fixture(scope="module")
def document() -> str:
    """The document as the table of views makes it."""
    return markdown()


def test_the_document_is_what_the_table_says(document: str) -> None:
    current = DOCUMENT.read_text(encoding="utf-8")
    assert current == document, "renew it: python -m procmirror.cli.catalogue > docs/VIEWS.md"


def test_every_link_of_the_document_has_one_heading(document: str) -> None:
    headings = re.findall(r"^#+ (.*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    links = set(re.findall(r"\(#([^)]*)\)", document))
    assert {link for link in links if anchors.count(link) != 1} == set()


@pytest.mark.parametrize("view", VIEWS, ids=names)
def test_every_view_is_in_the_list_with_a_sentence(view: View) -> None:
    said = sentence(view)
    assert said and not said.startswith("/proc") and len(said) <= 100
    suffixes = " ".join(view.suffixes)
    assert re.search(
        rf"^{re.escape(view.name)}/? +{suffixes} +{re.escape(said)}$", listing(), re.MULTILINE
    )


@pytest.mark.parametrize("view", VIEWS, ids=names)
def test_every_property_of_a_schema_is_a_row(view: View) -> None:
    document = schema(view)
    shown = {path.strip("`").rpartition(".")[2] for path, *_ in fields(document)}
    parts = [document, *document.get("$defs", {}).values()]
    assert shown >= {name for part in parts for name in part.get("properties", {})}


@pytest.mark.parametrize("view", VIEWS, ids=names)
def test_a_view_is_found_by_the_names_of_its_files(view: View) -> None:
    assert all(find(path) is view for path in files(view))
    assert find(view.name) is view


def test_a_view_is_found_by_the_name_that_the_list_has() -> None:
    named = [
        line.split()[0] for line in listing().splitlines() if re.search(r" (nd)?json( |$)", line)
    ]
    assert {find(name).name for name in named} >= {"PID/fd", "sys", "net/bonding", "PID/stat"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("tcp", "net/tcp"), ("environ", "PID/environ"), ("arp.json", "net/arp.json")],
)
def test_a_name_without_its_directory_is_asked_about(name: str, meant: str) -> None:
    with pytest.raises(LookupError, match=re.escape(f"did you mean {meant}? ")):
        find(name)


def test_a_view_is_found_by_the_path_of_a_process() -> None:
    assert (
        find("/proc/1234/stat.json").name
        == find("self/stat.txt").name
        == find("1/task/2/stat.json").name
        == "PID/stat"
    )
    assert find("stat.json").name == find("/proc/stat.json").name == "stat"
    assert find("1/net/tcp.json").name == find("PID/net/tcp").name == "net/tcp"


@pytest.mark.parametrize(
    "name", ["", "stat.xml", "environ.json", "PID/", "net/tcp.ndjson", "task/TID/stat.json"]
)
def test_what_is_no_view_is_not_found(name: str) -> None:
    with pytest.raises(LookupError, match="--list-views"):
        find(name)


@pytest.mark.parametrize("view", VIEWS, ids=names)
def test_a_view_has_a_text_or_says_why_it_has_none(document: str, view: View) -> None:
    assert bool(view.text) != bool(view.plain)
    if view.plain:
        assert f"It has no text: {view.plain}." in document


def test_types_are_told_in_words() -> None:
    assert kind({"anyOf": [{"type": "null"}, {"type": "integer"}]}) == "integer or null"
    assert kind({"type": "array", "items": {"$ref": "#/$defs/Row"}}) == "array of object"
    assert (
        kind({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]})
        == "array of integer, string"
    )
    assert (
        kind({"type": "object", "additionalProperties": {"type": "number"}}) == "object of number"
    )
    assert kind({"enum": ["read", "write"]}) == "`read` or `write`"
    assert kind({"type": "array"}) == "array" and kind({}) == "any"
    assert fields(
        {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"of": {"$ref": "#/$defs/A"}}}}}
    ) == [("`of`", "object", "", "")]
