"""Colours for what is printed on a terminal: names of fields, words, and what is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

_RESET = b"\x1b[0m"
_STYLES = {"heading": b"\x1b[1;35m", "header": b"\x1b[1m", "key": b"\x1b[34m"}
_STYLES |= {"word": b"\x1b[32m", "constant": b"\x1b[36m", "missing": b"\x1b[33m"}
# Without a way back, for which a text of megabytes takes a hundred times its memory.
_JSON = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")( *:)?|\b(true|false|null)\b')
_MISSING = re.compile(
    rb"\((?:not (?:permitted|readable)|deleted|incomplete)[^()\n]*\)|^incomplete: .*"
)
# A line of column names has no small letters and more than one word.
_HEADER = re.compile(rb" *+[A-Z%#][^a-z\n]*+\n?$")


def are_wanted(when: str, *, terminal: bool) -> bool:
    """Whether to colour: `when` is auto, always or never.

    With auto a terminal is coloured unless NO_COLOR (https://no-color.org) has a value or TERM is
    dumb.
    """
    if when != "auto":
        return when == "always"
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(style: str, text: bytes) -> bytes:
    """A text in a style of the table."""
    return _STYLES[style] + text + _RESET


def _json_part(match: re.Match[bytes]) -> bytes:
    text, colon, constant = match.groups()
    if constant:
        return styled("constant", constant)
    return styled("key" if colon else "word", text) + (colon or b"")


def _of_json(line: bytes) -> bytes:
    return _JSON.sub(_json_part, line)


def _of_text(line: bytes) -> bytes:
    if _HEADER.match(line) and b" " in line.strip(b" \n"):
        return styled("header", line.rstrip(b"\n")) + b"\n"
    return _MISSING.sub(lambda match: styled("missing", match[0]), line)


def coloring(path: str) -> Callable[[bytes], bytes] | None:
    """What colours a line of the content of a path; None for an entry, which stays as it is."""
    suffix = path.rpartition("/")[2].rpartition(".")[2]
    return {"json": _of_json, "ndjson": _of_json, "txt": _of_text}.get(suffix)
