"""The meaning of a command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from procmirror.cli.errors import UsageError
from procmirror.cli.options import MOUNT_OPTIONS, did_you_mean, parser
from procmirror.decoding.view import Machine

# Mount options that mount(8) and FUSE programs pass for every file system: they hold for this mount
# in any case, or mean nothing to it.
_ACCEPTED = {
    *("ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync"),
    *("mand", "nomand", "silent", "loud", "iversion", "noiversion", "atime", "noatime"),
    *("diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
    *("lazytime", "nolazytime", "symfollow", "nosymfollow", "auto", "noauto", "user", "nouser"),
    *("users", "nousers", "owner", "noowner", "group", "nogroup", "_netdev", "nofail"),
    *("defaults", "default_permissions"),
}
# Mount options that are not offered, and what to do instead.
_REFUSED = {
    "allow_root": "root's mount serves every user, a user's mount serves that user alone",
    "remount": "unmount it, and mount it again",
}
# The options that belong to some actions only: option, name of its value, the actions.
_BELONGS = (
    ("--foreground", "foreground", ("mount",)),
    ("--debug", "debug", ("mount",)),
    ("--timeout", "timeout", ("mount",)),
    ("-o", "options", ("mount", "print")),
    ("--color", "color", ("print",)),
    ("--no-pager", "paged", ("print", "explain", "schema", "list-views")),
    ("--times", "times", ("watch",)),
    ("--format", "format", ("status",)),
    ("--page-size", "page_size", ("decode",)),
    ("--ticks", "ticks", ("decode",)),
    ("--boot-time", "boot_time", ("decode",)),
    ("--byte-order", "byte_order", ("decode",)),
)
# What begins no word of a command line, as it would end it.
_MARK = "\0"
# The name of an action in a message.
_CALLED = {
    "mount": "mounting",
    "print": "--print",
    "decode": "--decode",
    "explain": "--explain",
    "schema": "--schema",
    "list-views": "--list-views",
    "watch": "--watch",
    "status": "--status",
}


class Command(NamedTuple):
    """A command line as values.

    `action` is mount, print, watch, diff, decode, explain, schema, status or list-views; every
    other value belongs to some of these. `timeout` and `interval` are in seconds, `views` are
    suffixes of file names, `hidden` are globs, `times` 0 is without end.
    """

    action: str = "mount"
    source: str = "/proc"
    mountpoint: str = ""
    foreground: bool = False
    debug: bool = False
    timeout: float = 5.0
    allow_other: bool = False
    views: frozenset[str] = frozenset({"txt", "json", "ndjson", "folded"})
    hidden: tuple[str, ...] = ()
    ignores_modules: bool = False
    writes: bool = False
    links_to_proc: bool = False
    stamped: bool = False
    paths: tuple[str, ...] = ()
    color: str = "auto"
    paged: bool = True
    form: str = "text"
    view: str = ""
    interval: float = 1.0
    times: int = 0
    machine: Machine = Machine()


def parse(arguments: Sequence[str]) -> Command:
    """Parse a command line.

    Raises UsageError or SystemExit(2) for one that has no meaning, HelpRequested for a question
    about the command itself.
    """
    known = parser()
    given = _with_plain_words(arguments)
    parsed = known.parse_intermixed_args(given)
    _join_paths(given, parsed)
    for name, value in vars(parsed).items():
        setattr(parsed, name, _as_given(value))
    action = _action(known, parsed)
    for option, name, actions in _BELONGS:
        if getattr(parsed, name) != known.get_default(name) and action not in actions:
            raise UsageError(f"{option} is for {' and '.join(_CALLED[one] for one in actions)}")
    if action == "mount":
        return _mount(known, parsed)
    if action in _WITHOUT:
        return _WITHOUT[action](parsed)
    view = parsed.decode or parsed.explain or parsed.schema or ""
    return Command(action, view=view, paged=parsed.paged, machine=_machine(parsed))


def _with_plain_words(arguments: Sequence[str]) -> list[str]:
    """The arguments without `--`, marked behind it where they begin with a dash.

    argparse's intermixed arguments do not remember that such a word is no option.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    behind = [_MARK * one.startswith("-") + one for one in arguments[end + 1 :]]
    return [*arguments[:end], *behind]


def _as_given(value: Any) -> Any:
    """A word or a list of words without the mark."""
    if isinstance(value, list):
        return [_as_given(one) for one in value]
    return value.removeprefix(_MARK) if isinstance(value, str) else value


def _join_paths(arguments: Sequence[str], parsed: argparse.Namespace) -> None:
    """Add paths to --print or --watch that stand behind another option: `--watch 1 --times 2 X`."""
    for option, given in (("--print", parsed.paths), ("--watch", parsed.watch)):
        before = arguments[: arguments.index(option)] if option in arguments else arguments
        if given is not None and not set(parsed.places) & set(before):
            given.extend(parsed.places)
            parsed.places = []


def _action(known: argparse.ArgumentParser, parsed: argparse.Namespace) -> str:
    asked = {
        "mount": bool(parsed.places),
        "print": parsed.paths is not None,
        "watch": parsed.watch is not None,
        "diff": parsed.diff is not None,
        "decode": parsed.decode is not None,
        "explain": parsed.explain is not None,
        "schema": parsed.schema is not None,
        "status": parsed.status is not None,
        "list-views": parsed.list_views,
    }
    action, *more = [name for name, wanted in asked.items() if wanted] or ["mount"]
    if action == "mount" and len(more) == 1:
        places = " ".join(parsed.places)
        reads = f", which reads standard input: < {places}" if more == ["decode"] else ""
        known.error(f"unexpected {places} beside --{more[0]}{reads}")
    if more:
        known.error(f"one thing at a time: {action} or {' or '.join(more)}")
    return action


def _print(parsed: argparse.Namespace) -> Command:
    given = set(",".join(parsed.options).split(",")) - {""}
    if given - {"stamp"}:
        raise UsageError("of the mount options, --print knows stamp only")
    paths = tuple(parsed.paths)
    return Command(
        "print", paths=paths, stamped=bool(given), color=parsed.color, paged=parsed.paged
    )


def _watch(parsed: argparse.Namespace) -> Command:
    seconds, *paths = parsed.watch
    try:
        interval = float(seconds)
    except ValueError:
        raise UsageError(f"--watch: '{seconds}' is not a number of seconds") from None
    if not 0.01 <= interval < 86400 or not paths:
        raise UsageError("--watch: SECONDS between 0.01 and 86400, and a PATH after it")
    times = parsed.times or 0
    if times < 0 or parsed.times == 0:
        raise UsageError("--times: one interval or more")
    return Command("watch", paths=tuple(paths), interval=interval, times=times)


def _diff(parsed: argparse.Namespace) -> Command:
    return Command("diff", paths=tuple(parsed.diff))


def _status(parsed: argparse.Namespace) -> Command:
    return Command("status", mountpoint=parsed.status, form=parsed.format)


_WITHOUT: dict[str, Callable[[argparse.Namespace], Command]] = {
    "print": _print,
    "watch": _watch,
    "diff": _diff,
    "status": _status,
}


def _machine(parsed: argparse.Namespace) -> Machine:
    page_size = os.sysconf("SC_PAGE_SIZE") if parsed.page_size is None else parsed.page_size
    ticks = 100 if parsed.ticks is None else parsed.ticks
    boot_time = 0.0 if parsed.boot_time is None else parsed.boot_time
    if not 0 < page_size <= 1 << 30:
        raise UsageError("--page-size: between 1 and 1073741824 bytes")
    if not 0 < ticks <= 1_000_000:
        raise UsageError("--ticks: between 1 and 1000000 a second")
    if not 0 <= boot_time < 1e11:
        raise UsageError("--boot-time: seconds since 1970")
    order = sys.byteorder if parsed.byte_order is None else parsed.byte_order
    return Machine(page_size, ticks, boot_time, byte_order=order)


def _mount(known: argparse.ArgumentParser, parsed: argparse.Namespace) -> Command:
    if not 1 <= len(parsed.places) <= 2:
        known.error("a MOUNTPOINT is needed, and at most a SOURCE before it")
    source = parsed.places[0] if len(parsed.places) == 2 else "/proc"
    command = Command("mount", source, parsed.places[-1], parsed.foreground)
    command = command._replace(allow_other=os.geteuid() == 0)
    given = list(filter(None, ",".join(parsed.options).split(",")))
    if parsed.timeout is not None:
        given.append(f"timeout={parsed.timeout}")
    if parsed.debug:
        given.append("debug")
    if {"ro", "write"} <= set(given):
        raise UsageError("ro and write contradict each other")
    for option in given:
        command = command._replace(**_meaning(option))
    return command


def _meaning(option: str) -> dict[str, Any]:
    """The values of a Command that a mount option sets; none for one that means nothing here."""
    name, equals, value = option.partition("=")
    if equals and name in _VALUES:
        return _VALUES[name](value)
    if option in _FLAGS:
        return _FLAGS[option]
    if name in _VALUES:
        raise UsageError(f"{name} needs a value")
    if name in _FLAGS:
        raise UsageError(f"{name} takes no value")
    if name in _REFUSED:
        raise UsageError(f"{name}: {_REFUSED[name]}")
    if name not in _ACCEPTED and not option.lower().startswith("x-"):
        known = (*MOUNT_OPTIONS, *_ACCEPTED)
        raise UsageError(f"unknown mount option '{option}'{did_you_mean(name, known)}")
    return {}


def _timeout(value: str) -> dict[str, float]:
    try:
        seconds = float(value)
    except ValueError:
        raise UsageError(f"timeout: '{value}' is not a number of seconds") from None
    if not 0 < seconds < 3600:
        raise UsageError("timeout: between 0 and 3600 seconds")
    return {"timeout": seconds}


def _views(value: str) -> dict[str, frozenset[str]]:
    suffixes = {"txt": {"txt", "folded"}, "json": {"json", "ndjson"}}
    wanted = set() if value == "none" else set(value.split("+"))
    if not wanted <= suffixes.keys():
        raise UsageError(f"views: txt, json, txt+json or none, not '{value}'")
    return {"views": frozenset().union(*(suffixes[one] for one in wanted))}


def _hide(value: str) -> dict[str, tuple[str, ...]]:
    return {"hidden": tuple(filter(None, value.split(":")))}


def _links(value: str) -> dict[str, bool]:
    if value not in {"text", "proc"}:
        raise UsageError(f"links: text or proc, not '{value}'")
    return {"links_to_proc": value == "proc"}


def _lsm(value: str) -> dict[str, bool]:
    if value != "ignore":
        raise UsageError(f"lsm: ignore, not '{value}'")
    return {"ignores_modules": True}


_FLAGS: dict[str, dict[str, Any]] = {
    "allow_other": {"allow_other": True},
    "debug": {"debug": True, "foreground": True},
    "stamp": {"stamped": True},
    "write": {"writes": True},
}
_VALUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "timeout": _timeout,
    "views": _views,
    "hide": _hide,
    "links": _links,
    "lsm": _lsm,
}
