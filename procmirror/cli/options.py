"""What can be said to the command, and what it means.

The parser is also the source of the manual page.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from procmirror import __version__
from procmirror.decode.view import Machine

# What FUSE programs and mount(8) pass without being asked: true here in any case, or without a
# meaning for us.
_ACCEPTED = (
    *(
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "mand",
        "nomand",
        "silent",
    ),
    *(
        "loud",
        "iversion",
        "noiversion",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
    ),
    *(
        "strictatime",
        "nostrictatime",
        "lazytime",
        "nolazytime",
        "symfollow",
        "nosymfollow",
        "auto",
        "noauto",
        "user",
        "nouser",
    ),
    *("users", "nousers", "owner", "noowner", "group", "nogroup", "_netdev", "nofail", "defaults"),
    "default_permissions",
)
# What would mean something, but is not offered, and what to do instead.
_REFUSED = {
    "allow_root": "root's mount serves everybody, a user's himself",
    "remount": "unmount it, and mount it again",
}
# What -o takes with a meaning of its own, for the help and the manual.
MOUNT_OPTIONS = {
    "views": ("txt+json|txt|json|none", "which views stand beside the entries (default: txt+json)"),
    "hide": ("GLOB[:GLOB…]", "show neither entry nor view of such a path (PID/mem) or name (kmsg)"),
    "timeout": ("SECONDS", "the same as --timeout"),
    "write": (
        "",
        "pass writes on to the entries, as whoever opened them (rw alone changes nothing)",
    ),
    "links": (
        "text|proc",
        "what links such as exe read: their text (default), or the path in /proc that leads to the object",
    ),
    "lsm": ("ignore", "do not refuse those whom a security module confines"),
    "stamp": (
        "",
        "let records of processes.ndjson and sockets.json begin with host, boot_id, time; for --print too",
    ),
    "allow_other": (
        "",
        "serve who is in a user namespace of yours too, such as a container; root's mount serves every user",
    ),
}
PURPOSE = "Mount a mirror of /proc, decoded views beside the originals, every access decided for whoever asks"
USAGES = (
    "[-f] [-o OPT[,OPT…]] [--timeout SECONDS] [SOURCE] MOUNTPOINT",
    "[-o stamp] --print PATH…",
    "--decode VIEW [--page-size BYTES] [--ticks NUMBER] [--boot-time SECONDS] < FILE",
    "--schema VIEW | --list-views",
    "--help | --version",
)
EXAMPLES = (
    ("procmirror /mnt/proc", "mount in the background"),
    ("cat /mnt/proc/self/environ.txt", "one variable a line"),
    ("jq .VmRSS /mnt/proc/1/status.json", "bytes, not kB"),
    ("umount /mnt/proc", "and away"),
    ("procmirror --print 1/status.txt net/tcp.txt", "without a mount, under your own rights"),
    ("procmirror --decode PID/stat < file", "what was copied from another machine"),
    ("procmirror --list-views", "which views there are"),
    ("procmirror --schema PID/stat.json", "what the fields of one are"),
)


class Failure(Exception):
    """What goes to stderr as the one line before exit 1."""

    status = 1


class Usage(Failure):
    """The same about a command line that makes no sense, before exit 2."""

    status = 2


class Said(Exception):
    """What goes to stdout instead of anything else."""


class _Say(argparse.Action):
    """An option that has its text printed; argparse itself would not notice that it cannot be."""

    def __init__(
        self, option_strings: Sequence[str], dest: str, text: str = "", **keywords: Any
    ) -> None:
        super().__init__(option_strings, dest, nargs=0, **keywords)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        raise Said(self._text or parser.format_help())


class Options(NamedTuple):
    """What the command line asked for: `action` is mount, print, decode, schema or list-views."""

    action: str = "mount"
    source: str = "/proc"
    mountpoint: str = ""
    foreground: bool = False
    timeout: float = 5.0
    allow_other: bool = False
    views: frozenset[str] = frozenset({"txt", "json", "ndjson"})
    hidden: tuple[str, ...] = ()
    ignores_modules: bool = False
    writes: bool = False
    links_to_proc: bool = False
    stamped: bool = False
    paths: tuple[str, ...] = ()
    view: str = ""
    machine: Machine = Machine()


# What an option is for, as a complaint about it says.
_WORDS = {"mount": "mounting", "print": "--print", "decode": "--decode"}
# The options by group; also for the manual.
OPTIONS: dict[str, dict[tuple[str, ...], dict[str, Any]]] = {
    "mounting": {
        ("places",): {
            "nargs": "*",
            "metavar": "[SOURCE] MOUNTPOINT",
            "help": "a procfs (default: /proc); a directory",
        },
        ("-f", "--foreground"): {
            "action": "store_true",
            "help": "stay in the foreground, log to stderr",
        },
        ("-o",): {
            "dest": "options",
            "action": "append",
            "default": [],
            "metavar": "OPT[,OPT…]",
            "help": "mount options, see below",
        },
        ("--timeout",): {
            "metavar": "SECONDS",
            "help": "longest wait for one answer of the kernel (default: 5)",
        },
    },
    "without a mount": {
        ("--print",): {
            "dest": "paths",
            "nargs": "+",
            "action": "extend",
            "metavar": "PATH",
            "help": "print views or entries of /proc, such as self/limits.json",
        },
        ("--decode",): {
            "metavar": "VIEW",
            "help": "print the view of a file of another machine, on standard input",
        },
        ("--page-size",): {
            "type": int,
            "metavar": "BYTES",
            "help": "a page there, for --decode (default: as here)",
        },
        ("--ticks",): {
            "type": int,
            "metavar": "NUMBER",
            "help": "clock ticks a second there (default: 100)",
        },
        ("--boot-time",): {
            "type": float,
            "metavar": "SECONDS",
            "help": "btime of its /proc/stat (default: not known)",
        },
    },
    "about the views": {
        ("--schema",): {
            "metavar": "VIEW",
            "help": "print the JSON Schema of a view, such as PID/stat.json",
        },
        ("--list-views",): {
            "action": "store_true",
            "help": "print which views there are, and of what",
        },
    },
    "about the command": {
        ("-h", "--help"): {"action": _Say, "help": "show this help"},
        ("--version",): {
            "action": _Say,
            "text": f"procmirror {__version__}\n",
            "help": "show the version",
        },
    },
}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        prog="procmirror",
        usage="\n       ".join(f"procmirror {usage}" for usage in USAGES),
        description=f"{PURPOSE}.",
        epilog=f"mount options:\n{_table(mount_options())}\n\nexamples:\n{_table(EXAMPLES)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    for title, options in OPTIONS.items():
        group = made.add_argument_group(title)
        for names, keywords in options.items():
            group.add_argument(*names, **keywords)
    return made


def mount_options() -> list[tuple[str, str]]:
    """The mount options with their values as a user writes them, and what they mean."""
    return [
        (f"{name}={value}" if value else name, meaning)
        for name, (value, meaning) in MOUNT_OPTIONS.items()
    ]


def _table(rows: Sequence[tuple[str, str]]) -> str:
    width = max(len(written) for written, _ in rows)
    return "\n".join(f"  {written:{width}}  {meaning}" for written, meaning in rows)


def options_of(arguments: Sequence[str]) -> Options:
    """The options of a command line.

    Usage or SystemExit for one that makes no sense, Said for a question about it.
    """
    made = parser()
    parsed = made.parse_intermixed_args(arguments)
    asked = {
        "mount": bool(parsed.places),
        "print": parsed.paths is not None,
        "decode": parsed.decode is not None,
        "schema": parsed.schema is not None,
        "list-views": parsed.list_views,
    }
    action, *more = [name for name, wanted in asked.items() if wanted] or ["mount"]
    if more:
        made.error(f"one thing at a time: {action} or {' or '.join(more)}")
    for flag, is_given, meant in (
        ("--foreground", parsed.foreground, {"mount"}),
        ("--timeout", parsed.timeout is not None, {"mount"}),
        ("-o", bool(parsed.options), {"mount", "print"}),
        ("--page-size", parsed.page_size is not None, {"decode"}),
        ("--ticks", parsed.ticks is not None, {"decode"}),
        ("--boot-time", parsed.boot_time is not None, {"decode"}),
    ):
        if is_given and action not in meant:
            raise Usage(f"{flag} is for {' and '.join(_WORDS[one] for one in sorted(meant))}")
    if action == "mount":
        if not 1 <= len(parsed.places) <= 2:
            made.error("a MOUNTPOINT is needed, and at most a SOURCE before it")
        source = parsed.places[0] if len(parsed.places) == 2 else "/proc"
        return _mounting(
            Options("mount", source, parsed.places[-1], parsed.foreground),
            parsed.timeout,
            parsed.options,
        )
    if action == "print":
        given = set(",".join(parsed.options).split(",")) - {""}
        if given - {"stamp"}:
            raise Usage("of the mount options, --print knows stamp only")
        return Options(action, paths=tuple(parsed.paths), stamped=bool(given))
    machine = _machine(parsed.page_size, parsed.ticks, parsed.boot_time)
    return Options(action, view=parsed.decode or parsed.schema or "", machine=machine)


def _machine(page_size: int | None, ticks: int | None, boot_time: float | None) -> Machine:
    page_size = os.sysconf("SC_PAGE_SIZE") if page_size is None else page_size
    ticks = 100 if ticks is None else ticks
    boot_time = 0.0 if boot_time is None else boot_time
    if not 0 < page_size <= 1 << 30:
        raise Usage("--page-size: between 1 and 1073741824 bytes")
    if not 0 < ticks <= 1_000_000:
        raise Usage("--ticks: between 1 and 1000000 a second")
    if not 0 <= boot_time < 1e11:
        raise Usage("--boot-time: seconds since 1970")
    return Machine(page_size, ticks, boot_time)


def _mounting(options: Options, timeout: str | None, words: Sequence[str]) -> Options:
    options = options._replace(allow_other=os.geteuid() == 0)
    given = [*",".join(words).split(","), *([] if timeout is None else [f"timeout={timeout}"])]
    if {"ro", "write"} <= set(given):
        raise Usage("ro and write contradict each other")
    for option in given:
        name, equals, value = option.partition("=")
        if equals and name in _VALUES:
            options = options._replace(**_VALUES[name](value))
        elif option in _FLAGS:
            options = _FLAGS[option](options)
        elif name in _REFUSED:
            raise Usage(f"{name}: {_REFUSED[name]}")
        elif option and name not in _ACCEPTED and not option.lower().startswith("x-"):
            raise Usage(f"unknown mount option {option!r}")
    return options


def _timeout(value: str) -> dict[str, float]:
    try:
        seconds = float(value)
    except ValueError:
        raise Usage(f"timeout: {value!r} is not a number of seconds") from None
    if not 0 < seconds < 3600:
        raise Usage("timeout: between 0 and 3600 seconds")
    return {"timeout": seconds}


def _views(value: str) -> dict[str, frozenset[str]]:
    formats = {"txt": {"txt"}, "json": {"json", "ndjson"}}
    wanted = set() if value == "none" else set(value.split("+"))
    if not wanted <= formats.keys():
        raise Usage(f"views: txt, json, txt+json or none, not {value!r}")
    return {"views": frozenset().union(*(formats[one] for one in wanted))}


def _hide(value: str) -> dict[str, tuple[str, ...]]:
    return {"hidden": tuple(filter(None, value.split(":")))}


def _links(value: str) -> dict[str, bool]:
    if value not in {"text", "proc"}:
        raise Usage(f"links: text or proc, not {value!r}")
    return {"links_to_proc": value == "proc"}


def _lsm(value: str) -> dict[str, bool]:
    if value != "ignore":
        raise Usage(f"lsm: ignore, not {value!r}")
    return {"ignores_modules": True}


_FLAGS: dict[str, Callable[[Options], Options]] = {
    "allow_other": lambda options: options._replace(allow_other=True),
    "stamp": lambda options: options._replace(stamped=True),
    "write": lambda options: options._replace(writes=True),
}
_VALUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "timeout": _timeout,
    "views": _views,
    "hide": _hide,
    "links": _links,
    "lsm": _lsm,
}
