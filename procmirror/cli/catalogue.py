"""The table of views as documentation: `--list-views`, `--schema NAME` and docs/VIEWS.md.

`python -m procmirror.cli.catalogue` prints docs/VIEWS.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter

from procmirror.cli.catalogue_rules import INDEX_DETAILS, INDEX_RULES, RULES, UNITS
from procmirror.cli.schema_fields import fields, kind
from procmirror.decoding.late import found
from procmirror.decoding.render import schema
from procmirror.decoding.view import View
from procmirror.mirror.find import files
from procmirror.mirror.index import INDEXES
from procmirror.views import VIEWS

# The headings of the directories, in their order; a directory without one comes after these, headed
# by its own name.
PLACES = {
    "PID": "Processes and threads: `PID/`, `PID/task/TID/`",
    "PID/task/TID": "Threads only: `PID/task/TID/`",
    "": "The whole machine",
    "net": "Network: `net/`, `PID/net/`",
}


def sentence(view: View) -> str:
    """The subject of a view: the first line of its module without the path and the sources.

    The path comes before the subject there, the sources after it.
    """
    make = found(view.decode or view.join)
    first = (sys.modules[make.__module__].__doc__ or "").partition("\n")[0]
    said = first.partition(": ")[2] or first
    return re.split(r" \(|; ", said)[0].removesuffix(".").rstrip(",")


def listing() -> str:
    """All views in the groups of their directories, one a line, and the rule for units."""
    views = ordered()
    rows = [
        (f"{view.name}{'/' * view.directory}", " ".join(view.suffixes), sentence(view))
        for view in views
    ]
    wide = max(len(source) for source, *_ in rows)
    formats = max(len(suffixes) for _, suffixes, _ in rows)
    header, *lines = (
        f"{source:<{wide}}  {suffixes:<{formats}}  {content}"
        for source, suffixes, content in [("SOURCE", "VIEWS", "CONTENT"), *rows]
    )
    groups = groupby(zip(views, lines, strict=True), lambda row: row[0].place)
    parts = [
        "\n".join([_heading(place).replace("`", ""), *(line for _, line in found)])
        for place, found in groups
    ]
    return "\n\n".join([header, *parts, UNITS]) + "\n"


def ordered() -> list[View]:
    """The views by directory, in the order of the headings."""
    places = list(PLACES)
    return sorted(VIEWS, key=lambda view: (*_rank(places, view.place), view.entry))


def _rank(places: list[str], place: str) -> tuple[int, str]:
    return (places.index(place), "") if place in places else (len(places), place)


def _heading(place: str) -> str:
    return PLACES.get(place) or f"`{place}/`"


def markdown() -> str:
    """The text of docs/VIEWS.md."""
    chapters = groupby(ordered(), attrgetter("place"))
    return "\n".join(
        [
            RULES,
            *_indexes(),
            *(part for place, views in chapters for part in _chapter(place, list(views))),
        ]
    )


def _indexes() -> Iterator[str]:
    yield INDEX_RULES
    yield from _table(
        ("Index", "By"), ((f"`{one.name}/{one.layout}`", one.content) for one in INDEXES.values())
    )
    yield INDEX_DETAILS


def _chapter(place: str, views: list[View]) -> Iterator[str]:
    yield f"## {_heading(place)}\n"
    yield from _table(("Source", "Views", "Content"), map(_row, views))
    for at, view in enumerate(views):
        yield f"### {view.name}\n"
        yield from _section(
            view, next((before for before in views[:at] if before.record == view.record), None)
        )


def own_section(view: View) -> Iterator[str]:
    """What a page about one view says of it: its sentence, and a table of all its fields."""
    return _section(view, None)


def _section(view: View, same: View | None) -> Iterator[str]:
    document = schema(view)
    said = _escaped(sentence(view))
    words = [
        f"{said[0].upper()}{said[1:]}.",
        f"The record is {_article(kind(document))}.",
        document.get("description", ""),
    ]
    if "unit" in document:
        words.append(f"Its unit is {document['unit']}.")
    if view.plain:
        words.append(f"It has no text: {view.plain}.")
    if same:
        words.append(f"Its fields are those of [{same.name}](#{_anchor(same.name)}).")
    yield " ".join(word if word.endswith(".") else f"{word}." for word in words if word) + "\n"
    if not same:
        yield from _table(("Field", "Type", "Unit", "Meaning"), fields(document))


def _row(view: View) -> tuple[str, str, str]:
    found = ", ".join(f"`{path.rpartition('/')[2]}`" for path in files(view))
    return f"[`{view.entry}{'/' * view.directory}`](#{_anchor(view.name)})", found, sentence(view)


def _anchor(name: str) -> str:
    return re.sub(r"[^\w-]", "", name.lower())


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    body = [f"| {' | '.join(map(_escaped, row))} |" for row in rows]
    if body:
        yield "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *body, ""])


def _escaped(text: str) -> str:
    """Text for a cell of a table: `|` would end it; `*` and `<` are markup outside of code."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(
        re.sub(r"([*<])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts)
    )


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
