"""What the one who mounts may choose, and the part of it that decides what a mirror contains."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import cache
from typing import NamedTuple


class Settings(NamedTuple):
    """The choices of the one who mounts.

    `timeout` is the longest wait for the kernel in seconds. `suffixes` are the formats of views
    that are shown, `hidden` globs of paths and names of entries and views that are not. With
    `stamped`, the records of streams say where and when they were made. With `writes`, the mirror
    can be written to; with `leads_to_proc`, its links lead to the objects behind those of /proc.
    With `ignores_modules`, requesters whom a security module confines are judged by the rest of
    their identity alone. With `debug`, each request is logged.
    """

    timeout: float = 5.0
    suffixes: frozenset[str] = frozenset({"txt", "json", "ndjson", "folded"})
    hidden: tuple[str, ...] = ()
    stamped: bool = False
    writes: bool = False
    leads_to_proc: bool = False
    ignores_modules: bool = False
    debug: bool = False


DEFAULT = Settings()


class _Present:
    """The only state of this package: the settings of this process."""

    settings = DEFAULT


def settle(settings: Settings) -> None:
    """Set the settings of this process, before anything is shown."""
    _Present.settings = settings


def suffixes() -> frozenset[str]:
    """The formats of views that are shown."""
    return _Present.settings.suffixes


def is_stamped() -> bool:
    """Whether records of streams say where and when they were made."""
    return _Present.settings.stamped


@cache
def _matcher(globs: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(translate, globs))).match


def hides_any() -> bool:
    """Whether any name may be hidden."""
    return bool(_Present.settings.hidden)


def is_hidden(*written: str) -> bool:
    """Whether a name is hidden, in any of the ways to write it."""
    hidden = _Present.settings.hidden
    return bool(hidden) and any(map(_matcher(hidden), written))
