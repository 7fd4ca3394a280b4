"""What can be said to the command, and what it means: the parser is also the source of the manual page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import NamedTuple

from procmirror import __version__

# What FUSE programs and mount(8) pass without being asked: true here in any case, or without a meaning for us.
_ACCEPTED = frozenset(
    [
        "ro",
        "rw",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "async",
        "sync",
        "atime",
        "noatime",
        "relatime",
        "auto",
        "noauto",
        "user",
        "nouser",
        "users",
        "_netdev",
        "nofail",
        "defaults",
        "allow_other",
        "allow_root",
        "default_permissions",
    ]
)
USAGES = (
    "[-f] [-o OPT[,OPT…]] [--timeout SECONDS] [SOURCE] MOUNTPOINT",
    "--schema VIEW",
    "--list-views",
    "--help | --version",
)
EXAMPLES = (
    ("procmirror /mnt/proc", "mount in the background"),
    ("cat /mnt/proc/self/environ.txt", "one variable a line"),
    ("jq .VmRSS /mnt/proc/1/status.json", "bytes, not kB"),
    ("umount /mnt/proc", "and away"),
    ("procmirror --list-views", "which views there are"),
    ("procmirror --schema PID/stat.json", "what the fields of one are"),
)


class Failure(Exception):
    """What goes to stderr as the one line before exit 1."""


class Options(NamedTuple):
    """What the command line asked for: `action` is mount, schema or list-views."""

    action: str = "mount"
    source: str = "/proc"
    mountpoint: str = ""
    foreground: bool = False
    timeout: float = 5.0
    allow_other: bool = False
    view: str = ""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    width = max(len(command) for command, _ in EXAMPLES)
    made = argparse.ArgumentParser(
        prog="procmirror",
        usage="\n       ".join(f"procmirror {usage}" for usage in USAGES),
        description="Mount a mirror of /proc, decoded views beside the originals, every access decided for whoever asks.",
        epilog="examples:\n" + "\n".join(f"  {command:{width}}  {meaning}" for command, meaning in EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    mounting = made.add_argument_group("mounting")
    mounting.add_argument("places", nargs="*", metavar="[SOURCE] MOUNTPOINT", help="a procfs (default: /proc); a directory")
    mounting.add_argument("-f", "--foreground", action="store_true", help="stay in the foreground, log to stderr")
    mounting.add_argument("-o", dest="options", action="append", default=[], metavar="OPT[,OPT…]", help="mount options")
    mounting.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="longest wait for one answer of the kernel (default: 5)"
    )
    about = made.add_argument_group("about the views")
    about.add_argument("--schema", dest="schema", metavar="VIEW", help="print the JSON Schema of a view, e.g. PID/stat.json")
    about.add_argument("--list-views", action="store_true", help="print which views there are, and of what")
    command = made.add_argument_group("about the command")
    command.add_argument("-h", "--help", action="help", help="show this help")
    command.add_argument("--version", action="version", version=f"procmirror {__version__}", help="show the version")
    return made


def options_of(arguments: Sequence[str]) -> Options:
    """The options of a command line; Failure for a mount option that nobody knows, SystemExit for wrong usage."""
    made = parser()
    parsed = made.parse_intermixed_args(arguments)
    if parsed.schema is not None or parsed.list_views:
        if parsed.places or (parsed.schema is not None and parsed.list_views):
            made.error("one thing at a time: mount, --schema or --list-views")
        return Options("list-views" if parsed.list_views else "schema", view=parsed.schema or "")
    if not 1 <= len(parsed.places) <= 2:
        made.error("a MOUNTPOINT is needed, and at most a SOURCE before it")
    mountpoint = parsed.places[-1]
    source = parsed.places[0] if len(parsed.places) == 2 else "/proc"
    return _mounting(Options("mount", source, mountpoint, parsed.foreground), parsed.timeout, parsed.options)


def _mounting(options: Options, timeout: float | None, words: Sequence[str]) -> Options:
    allow_other = os.geteuid() == 0
    for option in ",".join(words).split(","):
        name, _, value = option.partition("=")
        if name == "timeout":
            try:
                timeout = float(value)
            except ValueError:
                raise Failure(f"timeout: {value!r} is not a number of seconds") from None
        elif name == "allow_other":
            allow_other = True
        elif name and name not in _ACCEPTED:
            raise Failure(f"unknown mount option {option!r}")
    if timeout is not None and not 0 < timeout < 3600:
        raise Failure("timeout: between 0 and 3600 seconds")
    return options._replace(timeout=timeout or 5.0, allow_other=allow_other)
