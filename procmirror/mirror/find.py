"""Views by the names of their files."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from procmirror.decoding.view import NUMBER, View
from procmirror.views import VIEWS


def files(view: View) -> tuple[str, ...]:
    """The paths of a view's files, with PID for the number: `PID/stat.json`, `config.txt`."""
    stem = view.name.removesuffix(".gz")
    return tuple(f"{stem}.{suffix}" for suffix in view.suffixes)


def find(path: str) -> View:
    """The view of a file name such as `PID/stat.json`, `1/stat`, `net/tcp.json`, `config.json`.

    That of a directory has a slash at its end where `--list-views` names it.

    Raises LookupError if there is none.
    """
    name = re.sub(
        r"^(/proc/)?((\d+|self|thread-self)/)?", lambda match: "PID/" if match[2] else "", path
    )
    name = re.sub(r"^PID/net/", "net/", re.sub(r"/task/\d+/", "/task/TID/", name))
    if found := _named(name):
        return found
    raise LookupError(f"no view '{path}'; {_suggestion(name)}procmirror --list-views shows all")


def _named(name: str) -> View | None:
    above, _, last = name.rpartition("/")
    number, dot, suffix = last.partition(".")
    if number.isdecimal():
        # One entry among many: its view is that of all of them, under its own name.
        found = _named(f"{above}/{NUMBER}{dot}{suffix}")
        return found and replace(found, name=f"{found.place}/{number}")
    for wanted in (name, _of_process(name)):
        for view in VIEWS:
            listed = f"{view.name}{'/' * view.directory}"
            if wanted in (view.name, listed) or wanted in files(view):
                return view
    return None


def _of_process(name: str) -> str:
    """The name of what a thread and its process have both."""
    return name.replace("/task/TID/", "/", 1)


def _suggestion(name: str) -> str:
    """The view with the most similar name, as a question; empty if there is none."""
    known = [one for view in VIEWS for one in (view.name, *files(view))]
    # A name without its directory means the file of a process, or the only file of that name.
    inside = [one for one in known if one.endswith(f"/{name}")]
    close = [one for one in inside if one == f"PID/{name}" or len(inside) == 1]
    close = close or _in_another_format(name) or difflib.get_close_matches(name, known, 1, 0.8)
    return f"did you mean {close[0]}? " if close else ""


def _in_another_format(name: str) -> list[str]:
    """The first file of the view that a name without its suffix means."""
    stem = name.rpartition(".")[0]
    for wanted in (stem, _of_process(stem), f"PID/{stem}"):
        for view in VIEWS:
            if wanted == view.name.removesuffix(".gz"):
                return [files(view)[0]]
    return []
