"""What can be said to the command, and what it means: the parser is also the source of the manual page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import NamedTuple

from procmirror import __version__
from procmirror.view import Machine

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
    "--print PATH…",
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


class Options(NamedTuple):
    """What the command line asked for: `action` is mount, print, decode, schema or list-views."""

    action: str = "mount"
    source: str = "/proc"
    mountpoint: str = ""
    foreground: bool = False
    timeout: float = 5.0
    allow_other: bool = False
    paths: tuple[str, ...] = ()
    view: str = ""
    machine: Machine = Machine()


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
    printing = made.add_argument_group("without a mount")
    about_paths = "print views or entries of /proc, such as self/limits.json"
    printing.add_argument("--print", dest="paths", nargs="+", action="extend", metavar="PATH", help=about_paths)
    printing.add_argument("--decode", metavar="VIEW", help="print the view of a file of another machine, on standard input")
    printing.add_argument("--page-size", type=int, metavar="BYTES", help="a page there, for --decode (default: as here)")
    printing.add_argument("--ticks", type=int, metavar="NUMBER", help="clock ticks a second there (default: 100)")
    printing.add_argument("--boot-time", type=float, metavar="SECONDS", help="btime of its /proc/stat (default: 0)")
    about = made.add_argument_group("about the views")
    about.add_argument("--schema", metavar="VIEW", help="print the JSON Schema of a view, such as PID/stat.json")
    about.add_argument("--list-views", action="store_true", help="print which views there are, and of what")
    command = made.add_argument_group("about the command")
    command.add_argument("-h", "--help", action="help", help="show this help")
    command.add_argument("--version", action="version", version=f"procmirror {__version__}", help="show the version")
    return made


def options_of(arguments: Sequence[str]) -> Options:
    """The options of a command line; Failure for one that cannot be meant, SystemExit for wrong usage."""
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
    if action == "mount":
        if not 1 <= len(parsed.places) <= 2:
            made.error("a MOUNTPOINT is needed, and at most a SOURCE before it")
        source = parsed.places[0] if len(parsed.places) == 2 else "/proc"
        return _mounting(Options("mount", source, parsed.places[-1], parsed.foreground), parsed.timeout, parsed.options)
    machine = _machine(parsed.page_size, parsed.ticks, parsed.boot_time)
    return Options(action, paths=tuple(parsed.paths or ()), view=parsed.decode or parsed.schema or "", machine=machine)


def _machine(page_size: int | None, ticks: int | None, boot_time: float | None) -> Machine:
    page_size = os.sysconf("SC_PAGE_SIZE") if page_size is None else page_size
    ticks = 100 if ticks is None else ticks
    boot_time = 0.0 if boot_time is None else boot_time
    if not 0 < page_size <= 1 << 30:
        raise Failure("--page-size: between 1 and 1073741824 bytes")
    if not 0 < ticks <= 1_000_000:
        raise Failure("--ticks: between 1 and 1000000 a second")
    if not 0 <= boot_time < 1e11:
        raise Failure("--boot-time: seconds since 1970")
    return Machine(page_size, ticks, boot_time)


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
