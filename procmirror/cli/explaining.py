"""`--explain VIEW`: what docs/VIEWS.md says of a view, in the width of the terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from procmirror.cli.catalogue import sentence
from procmirror.cli.schema_fields import fields, kind
from procmirror.decoding.late import found
from procmirror.decoding.render import schema
from procmirror.decoding.text import harmless
from procmirror.decoding.view import DecodeError, View
from procmirror.mirror.find import files

_LINES_OF_EXAMPLE = 12
# The narrowest and the widest text: lines of more than 100 columns read badly.
_NARROWEST, _WIDEST = 40, 100
_FEWEST_OF_MEANING = 24


def explained(view: View, show: Callable[[str], Iterable[bytes]]) -> str:
    """The explanation of a view; `show` gives the content of a path on this machine.

    The width is that of the terminal (COLUMNS, or 80 where there is none).
    """
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    document = schema(view)
    said = sentence(view)
    about = [
        f"{said[0].upper()}{said[1:]}.",
        str(document.get("description", "")),
        f"The record is of type {kind(document)}.",
        f"Its unit is {document['unit']}." if "unit" in document else "",
    ]
    parts = [
        f"{view.name}\n{_filled(' '.join(filter(None, about)), width, '  ')}",
        f"Files\n{_filled(', '.join(files(view)), width, '  ')}",
        f"Source\n{_filled(_source(view), width, '  ')}",
        "\n".join(["Fields", *_fields(document, width)]),
        "\n".join(["Example", *_example(view, show, width)]),
    ]
    return "\n\n".join(parts) + "\n"


def _filled(text: str, width: int, indent: str) -> str:
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _source(view: View) -> str:
    """The docstring of the module: where the format is described."""
    make = found(view.decode or view.join)
    words = (sys.modules[make.__module__].__doc__ or "").replace("`", "")
    made = "" if view.decode else "It is made of several files. "
    return made + " ".join(words.split())


def _fields(document: dict[str, object], width: int) -> Iterator[str]:
    rows = [
        (path.replace("`", ""), f"{of}, {unit}" if unit else of, meaning)
        for path, of, unit, meaning in fields(document)
    ]
    if not rows:
        yield "  none: it is one value"
        return
    first = min(max(len(row[0]) for row in rows), width // 3)
    for name, of, meaning in rows:
        lead = f"  {name:{first}}  "
        indent = " " * (first + 4)
        words = f"{meaning} [{of}]" if meaning else f"[{of}]"
        if len(lead) > len(indent) or width - len(indent) < _FEWEST_OF_MEANING:
            yield f"  {name}"
            lead = indent = indent if width - len(indent) >= _FEWEST_OF_MEANING else "      "
        yield textwrap.fill(
            words.replace("`", ""), width, initial_indent=lead, subsequent_indent=indent
        )


def _example(view: View, show: Callable[[str], Iterable[bytes]], width: int) -> Iterator[str]:
    """The first lines of the view on this machine, of the command itself if it is of a process."""
    path = files(view)[-1].replace("PID/task/TID/", "PID/").replace("PID/", "self/", 1)
    yield f"  $ procmirror --print {path}"
    try:
        lines = list(islice(_lines(show(path)), _LINES_OF_EXAMPLE + 1))
    except OSError as refused:
        yield f"  ({refused.strerror})"
        return
    except DecodeError as unknown:
        yield f"  ({unknown.reason})"
        return
    for line in lines[:_LINES_OF_EXAMPLE]:
        yield "  " + (line if len(line) <= width - 2 else line[: width - 3] + "…")
    if len(lines) > _LINES_OF_EXAMPLE:
        yield "  …"


def _lines(content: Iterable[bytes]) -> Iterator[str]:
    rest = ""
    for piece in content:
        *lines, rest = (rest + harmless(piece.decode("utf-8", "backslashreplace"))).split("\n")
        yield from lines
    if rest:
        yield rest
