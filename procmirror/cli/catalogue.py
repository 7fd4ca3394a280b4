"""The table of views as documentation: `--list-views`, `--schema NAME` and docs/VIEWS.md.

`python -m procmirror.cli.catalogue` prints docs/VIEWS.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from procmirror.decoding.render import schema
from procmirror.decoding.view import View
from procmirror.mirror.find import files
from procmirror.mirror.index import INDEXES
from procmirror.views import VIEWS

UNITS = """\
Every size is in bytes and every duration in seconds, whatever the file counts in;
null is what is unlimited, unset or not available."""

RULES = f"""\
# The views

Beside an entry `X` of the mirrored /proc stand `X.json` and, where the raw file does not read well,
`X.txt`. This page is made from the table of views and their JSON Schemas
(`procmirror --list-views`, `procmirror --schema PID/status.json`).

## Rules for every view

- **Rights**: owner, group, mode and times are those of the source, and a view opens for exactly
  those who may open and read the source, else fails with the same error. Of a view of several
  sources the first decides; what the requester may not read of the others is `null`, in text
  `(not permitted)`.
- **Snapshot**: a view shows what was read when it was opened; reading again from the beginning of
  a small view reads anew.
- **Units**: {UNITS.replace(chr(10), chr(10) + "  ")}
  The sysctl tree and counters of pages that are named as counts (`nr_…`, `pg…`) are as they are.
- **Names**: files of `Key: value` keep the kernel's own keys, files of columns have the names of
  proc(5) in snake_case. No name or type of a field changes within a major version.
- **Shapes**: tables and lists are arrays, all else objects; the order is the kernel's, and what is
  repeated there is repeated here.
- **Masks** are arrays of names, a bit without a name is `"0x40000"`; lists of CPUs and nodes are
  arrays of numbers.
- **Addresses** of memory and numbers of devices are strings: `"0x7ffd0c9f8000"`, `"253:0"`.
- **Newer kernels**: lines and columns that this version does not know appear under their own names
  or under `extra`, which is only present when there are any.
- **Encoding**: strict JSON in UTF-8, indented by two, a newline at the end. Bytes that are not
  UTF-8 appear as `\\xHH`; the raw file beside the view has them. Text for people has control
  characters escaped and one record a line.
- **Text**: a table has a header of capitals, a page one key a line. Each cell but the last is one
  word, `-` if there is nothing, a blank of a name `\\x20`; so are keys, sizes (`10.6MiB`, which
  `sort -h` orders), durations (`1m09s`) and dates (ISO 8601). `0` is nought of any unit. States
  are those of the JSON, of a process its letter. A cell of more than 40 characters moves the rest
  of its own row only.
- **Deleted files**: the kernel's mark ` (deleted)` stands in text only; in JSON a path is without
  it, and `deleted` is true. Texts of links without such a field (`exe`, `cwd`) are the kernel's.
- **Mismatch**: a source that does not have the shape known here is an input/output error (EIO) and
  a line in the log, never a guess.
- Kernel threads and zombies have the same views, with what they have.
"""

INDEX_RULES = """\
## Indexes: `by-…/` in the root

Directories in which each process stands by a property, as a link to its own directory:
`cat by-port/tcp/8080/*/environ.txt`, `ls by-name/nginx`,
`cat by-cgroup/system.slice/ssh.service/pids/*/cmdline.txt`.
"""

INDEX_DETAILS = """\
- **Rights**: a process stands where the kernel tells the requester what it takes to know that: only
  requesters that may trace a process are told its `exe` and `fd/`. For all others the link does not
  exist.
- **Found at once**: every directory with a possible name exists, even where nothing stands in it,
  and a link is found by a look at its process alone. A listing is made of all processes, and may be
  shown again to the very same requester (ids, groups, capabilities, namespaces, confinement) for
  five times as long as it took to make, and for a second at most.
- **Names** are escaped as in `.txt`; `/` becomes `\u2215` (U+2215). What is empty, `.`, `..` or
  `pids`, begins with `=`, or has a U+2215 of its own gets a `=` in front; so does a control group
  called by a number. A name of more than 255 bytes is cut to 236 and ends in `…` and 16 digits of
  the SHA-256 of the whole. Paths end at 4096 bytes.
- **Trees**: in `by-exe`, `by-file`, `by-cgroup` and `by-parent` the links of a directory stand in
  its `pids/`.
- **by-file** has each process that uses a file, by any descriptor, as cwd, root or exe, or by a
  mapping, by the path that the kernel names; a deleted file is where it was. `files.ndjson` tells
  the kind of use.
- **by-cgroup** has each process at the path of every hierarchy that it is in, version 1 or 2, as
  the requester's cgroup namespace shows it.
- **by-port** has the processes that hold a socket, whether it listens or is connected; `tcp` and
  `udp` are of both IP versions.
- **by-parent** has a directory for every process, under that of its parent, with its children's;
  those without a parent that the requester sees are at the top. Every directory is also found
  without the ones above it: `by-parent/1234/pids/` has the children of 1234.
- Threads other than the first stand nowhere, kernel threads and zombies not in `by-exe`. With
  `-o views=none` there are no indexes.
"""

Field = tuple[str, str, str, str]

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
    make = view.decode or view.join
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


def fields(document: dict[str, Any]) -> list[Field]:
    """The fields of a JSON Schema: path, type, unit, meaning.

    `[]` stands for each element, `*` for each key.
    """
    return list(dict.fromkeys(_fields(document, document.get("$defs", {}), "", ())))


def _fields(
    part: dict[str, Any], named: dict[str, Any], path: str, inside: tuple[str, ...]
) -> Iterator[Field]:
    reference = part.get("$ref")
    if reference and reference not in inside:
        yield from _fields(named[_name(reference)], named, path, (*inside, reference))
    for alternative in part.get("anyOf", ()):
        yield from _fields(alternative, named, path, inside)
    for name, value in part.get("properties", {}).items():
        below = f"{path}.{name}" if path else name
        yield f"`{below}`", kind(value), value.get("unit", ""), _meaning(value, named)
        yield from _fields(value, named, below, inside)
    if isinstance(part.get("items"), dict):
        yield from _fields(part["items"], named, f"{path}[]" if path else "", inside)
    if isinstance(part.get("additionalProperties"), dict):
        yield from _fields(
            part["additionalProperties"], named, f"{path}.*" if path else "*", inside
        )


def _meaning(part: dict[str, Any], named: dict[str, Any]) -> str:
    """The description of a field, or else of the record that it holds."""
    reference = part.get("$ref") or part.get("items", {}).get("$ref")
    return str(
        part.get("description")
        or (named[_name(reference)].get("description", "") if reference else "")
    )


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def kind(part: dict[str, Any]) -> str:
    """A type of JSON Schema in words: `integer or null`, `array of string`."""
    if "anyOf" in part:
        words = [kind(alternative) for alternative in part["anyOf"]]
        return " or ".join(sorted(dict.fromkeys(words), key=lambda word: word == "null"))
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "prefixItems" in part:
        return f"array of {', '.join(map(kind, part['prefixItems']))}"
    below = part.get("items", part.get("additionalProperties"))
    word = part.get("type", "object" if "$ref" in part else "any")
    return f"{word} of {kind(below)}" if isinstance(below, dict) else str(word)


def _article(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
