"""`--watch SECONDS PATH…` and `--diff OLD NEW`: what happens, from two readings of a view."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from inspect import isclass
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any, get_args

from msgspec import UNSET
from msgspec.structs import fields

from procmirror.cli import difference
from procmirror.cli.errors import CommandError
from procmirror.decoding.text import printable
from procmirror.decoding.view import DecodeError, Record, Stamp, View
from procmirror.mirror.find import find
from procmirror.views import VIEWS

# What a saved view may be called: as on the machine, or below the directory of a process or of net.
_PLACES = ("", "PID/", "net/")
_CLEAR = "\x1b[H\x1b[2J"

# What was read of each path, and when.
_Readings = dict[str, tuple[float, difference.Reading]]
# A path, what happened in it that is shown, and within how many seconds.
_Happened = tuple[str, list[difference.Change], float]


class Watched:
    """Views that are read again and again; `content_of` reads one, `paths` gives those there now.

    A view that cannot be read any more counts as gone.
    """

    def __init__(
        self, content_of: Callable[[str], Iterable[bytes]], paths: Callable[[], list[str]]
    ) -> None:
        self._content_of = content_of
        self._paths = paths
        self._before: _Readings = {}
        self._gone: list[str] = []

    def step(self, room: int = 0) -> Iterator[tuple[str, str]]:
        """Read all once more; each path with its text, from its second reading on.

        All together have `room` lines, 0 for any number. Of several views those in which nothing
        happened are left out. One that is not there any more is said to be gone; when none is left,
        again each time.
        """
        now: _Readings = {}
        for path in self._paths():
            with suppress(OSError, DecodeError):
                content = b"".join(self._content_of(path))
                now[path] = time.monotonic(), _read(path, _view(path), content)
        happened = list(self._happened(now))
        shown = [one for one in happened if one[1]] or _as_one(happened)
        gone = [path for path in self._before if path not in now]
        self._gone = self._gone if not now and not gone else gone
        yield from ((path, "gone\n") for path in self._gone)
        for path, changes, seconds in shown:
            # A heading and an empty line go with each.
            each = max(room // len(shown) - 2, 1) if room else 0
            yield path, difference.watched(changes, seconds, each)
        self._before = now

    def _happened(self, now: _Readings) -> Iterator[_Happened]:
        """Each path that was read before, what changed in it so that it is shown, and the time."""
        for path, (when, found) in now.items():
            if path in self._before:
                then, before = self._before[path]
                changes = difference.changes(before, found)
                yield path, [one for one in changes if one.kind != "changed"], when - then


def _as_one(happened: list[_Happened]) -> list[_Happened]:
    """What stands for several views in which nothing happened."""
    return [(f"{len(happened)} views", [], 0.0)] if len(happened) > 1 else happened


def watch(watched: Watched, seconds: float, times: int, write: Callable[[str], None]) -> None:
    """Show what happens in each interval; `times` intervals, 0 for no end.

    A terminal is repainted, a file or pipe grows.
    """
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    list(watched.step())
    done = 0
    while not times or done < times:
        time.sleep(seconds)
        done += 1
        stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        wide, high = shutil.get_terminal_size() if is_terminal else (0, 0)
        shown = [f"{stamp}  {printable(path)}\n{text}" for path, text in watched.step(high)]
        write(_painted("\n".join(shown), wide, high) if high else "\n".join([*shown, ""]))


def _painted(text: str, wide: int, high: int) -> str:
    """A text from the top of the terminal on, as much of it as there is room for."""
    lines = [line[:wide] for line in text.splitlines()[: high - 1]]
    return _CLEAR + "\n".join(lines) + "\n"


def differing(old: str, new: str) -> str:
    """What differs between two saved views or streams; empty if nothing does.

    OSError for a file that cannot be read, CommandError for one that is no JSON.
    """
    contents = [Path(name).read_bytes() for name in (old, new)]
    view = _saved(new) or _saved(old) or _alike(contents[1]) or _alike(contents[0])
    before, after = (
        _read(name, view, content) for name, content in zip((old, new), contents, strict=True)
    )
    times = [_time(content) for content in contents]
    apart = None if None in times else (times[1] or 0) - (times[0] or 0)
    return difference.compared(list(difference.changes(before, after)), apart)


def _read(name: str, view: View | None, content: bytes) -> difference.Reading:
    try:
        return difference.reading(view, content)
    except (ValueError, RecursionError):
        raise CommandError(f"{name}: not JSON; a view that ends in .json or .ndjson is") from None


def _view(path: str) -> View | None:
    with suppress(LookupError):
        return find(path)
    return None


def _saved(name: str) -> View | None:
    """The view of a saved file by its name: `processes.ndjson`, `io.json.1`, `old.io.json`."""
    base = os.path.basename(name)
    stems = [base, *(base[: -len(end)] for end in (f".{base.rpartition('.')[2]}",) if end != ".")]
    parts = [stem for one in stems for stem in (one, one.partition(".")[2]) if stem]
    for stem in parts:
        for place in _PLACES:
            if view := _view(place + stem):
                return view
    return None


def _alike(content: bytes) -> View | None:
    """The view whose records have the fields of the first record; None if no one or several do."""
    names = set(_first(content)) - {one.name for one in fields(Stamp)}
    found = [view for view in VIEWS if _may_have(view, names)] if names else []
    return found[0] if len(found) == 1 else None


def _may_have(view: View, names: set[str]) -> bool:
    record = (*get_args(view.record), view.record)[0]
    if not (isclass(record) and issubclass(record, Record)):
        return False
    known = {one.encode_name: one.default is UNSET for one in fields(record)}
    return names <= set(known) and all(name in names or known[name] for name in known)


def _first(content: bytes) -> dict[str, Any]:
    """The first record; empty if there is none."""
    try:
        whole = content.lstrip()[:1] == b"[" or b"\n{" not in content
        first = loads(content if whole else content.partition(b"\n")[0])
        first = first[0] if isinstance(first, list) else first
    except (JSONDecodeError, LookupError, ValueError, RecursionError):
        return {}
    return first if isinstance(first, dict) else {}


def _time(content: bytes) -> float | None:
    """The moment with which `-o stamp` begins the first record; None without one."""
    try:
        return datetime.fromisoformat(_first(content)["time"]).timestamp()
    except (LookupError, TypeError, ValueError):
        return None
