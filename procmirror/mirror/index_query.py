"""The content of an index for the identity that this thread acts as: all of it, or one link."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.view import DecodeError
from procmirror.mirror.index import INDEXES, parse
from procmirror.mirror.index.relations import Table
from procmirror.mirror.settings import is_hidden
from procmirror.mirror.snapshot import Snapshot
from procmirror.procfs.reading import Sources

T = TypeVar("T")


def table(wanted: Snapshot, progress: Callable[[], None]) -> Table:
    """All of the index `wanted.view` that this thread may see."""
    index = INDEXES[wanted.view]
    return _with_sources(
        wanted,
        lambda sources: index.filled(sources.each(index.survey(sources, wanted.machine))),
        progress,
    )


def link_exists(path: bytes, wanted: Snapshot, progress: Callable[[], None]) -> bool:
    """Whether a link exists for this requester; False if the kernel refuses the answer."""
    found = parse(path)
    if found is None:
        return False
    index, names, _ = found
    place = index.place(names)
    if place is None:
        return False
    try:
        return _with_sources(
            wanted, lambda sources: index.holds(place, names[-1], sources, wanted.machine), progress
        )
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _with_sources(wanted: Snapshot, ask: Callable[[Sources], T], progress: Callable[[], None]) -> T:
    sources = Sources(wanted.root, b"", wanted.myself, wanted.peer, progress)
    try:
        return ask(sources)
    except OSError:
        raise
    except SURPRISES as surprise:
        raise DecodeError(wanted.view, f"{type(surprise).__name__}: {surprise}") from surprise
    finally:
        sources.close()


def hides(path: bytes) -> bool:
    """Whether -o hide= hides a path in an index.

    It is hidden by its name or path, or as a link to a hidden process.
    """
    name = path.rpartition(b"/")[2]
    if is_hidden(os.fsdecode(name), os.fsdecode(path)):
        return True
    return is_hidden("PID") and (found := parse(path)) is not None and found[2] == "link"
