"""Texts of arrays of records: which fields stand in which column, as a table of the view says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from procmirror.decoding.text import columns, duration, size
from procmirror.decoding.view import Machine

Text = Callable[[Iterable[Any], Machine], str]


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


# How a field is shown, by the word behind its name, and whether its column is right-aligned.
_KINDS: dict[str, tuple[Callable[[Any], str], bool]] = {
    "": (_plain, False),
    "number": (_plain, True),
    "bytes": (size, True),
    "seconds": (duration, True),
}


def listing(*fields: str, none: str, most: str = "", only: Callable[[Any], bool] = bool) -> Text:
    """The function that makes the text of records, one a line.

    Each field is `HEADER attribute kind`: a path of attributes, `a.b`, or several with `|` of which
    the first that is not None counts; the kind is number, bytes, seconds or nothing. Records
    with most of the attribute `most` come first; those that `only` is false of are left out; `none`
    is the text without any.
    """
    parts = [(*field.split(), "")[:3] for field in fields]
    right = [at for at, (_, _, kind) in enumerate(parts) if _KINDS[kind][1]]
    header = [part[0] for part in parts]

    def text(records: Iterable[Any], _: Machine) -> str:
        shown = [one for one in records if only(one)]
        if most:
            shown.sort(key=lambda one: -(_found(one, most) or 0))
        rows = [[_KINDS[kind][0](_found(one, path)) for _, path, kind in parts] for one in shown]
        return columns(rows, header, right) if rows else none

    return text


def _found(record: Any, path: str) -> Any:
    for way in path.split("|"):
        value = record
        for name in way.split("."):
            value = getattr(value, name, None)
        if value is not None:
            return value
    return None
