"""The options of the command as tables, and the parser that is made from them.

The help, the manual page and the completions are made from the same tables or compared with them.
The meaning of the options is in procmirror.cli.command_line.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from procmirror import __version__
from procmirror.cli.errors import HelpRequested, UsageError

# The mount options with a meaning of their own, for the help and the manual.
MOUNT_OPTIONS = {
    "views": ("txt+json|txt|json|none", "which views stand beside the entries (default: txt+json)"),
    "hide": ("GLOB[:GLOB…]", "show neither entry nor view of such a path (PID/mem) or name (kmsg)"),
    "timeout": ("SECONDS", "the same as --timeout"),
    "write": (
        "",
        "pass writes on to the entries, as the requester that opened them; rw changes nothing",
    ),
    "links": (
        "text|proc",
        "what links such as exe read: their text (default), or the link on /proc itself",
    ),
    "lsm": ("ignore", "answer requesters as if no security module confined them"),
    "stamp": (
        "",
        "records of processes.ndjson, sockets.json begin with host, boot_id, time; for --print too",
    ),
    "debug": ("", "the same as --debug"),
    "allow_other": (
        "",
        "serve your user namespaces too, as rootless containers; root's mount serves every user",
    ),
}
PURPOSE = (
    "Mount a mirror of /proc with decoded views beside the originals, "
    "each access decided by the requester's own rights"
)
USAGES = (
    "[-f | -d] [-o OPT[,OPT…]] [--timeout SECONDS] [SOURCE] MOUNTPOINT",
    "[-o stamp] [--color WHEN] [--no-pager] --print PATH…",
    "[--times NUMBER] --watch SECONDS PATH… | --diff OLD NEW",
    "--decode VIEW [--page-size BYTES] [--ticks N] [--boot-time SECONDS] [--byte-order O] < FILE",
    "[--no-pager] --explain VIEW | --schema VIEW | --list-views",
    "--status MOUNTPOINT [--format FORM]",
    "--help | --version",
)
EXAMPLES = (
    ("procmirror /mnt/proc", "mount in the background"),
    ("cat /mnt/proc/self/environ.txt", "one variable a line"),
    ("jq .VmRSS /mnt/proc/1/status.json", "bytes, not kB"),
    ("umount /mnt/proc", "unmount it, which ends the daemon"),
    ("procmirror --print 1/status.txt net/tcp.txt", "without a mount, with your own rights"),
    ("procmirror --decode PID/stat < file", "decode a file that was copied from another machine"),
    ("procmirror --print 'by-name/nginx/*/fd.txt'", "of all processes with that name"),
    ("procmirror --watch 2 processes.ndjson", "who uses what now: rates of every counter"),
    ("procmirror --explain PID/status", "fields, units and source of a view"),
    ("procmirror --list-views", "list the views"),
    ("procmirror --schema PID/stat.json", "describe the fields of one"),
)


# That of pyproject.toml; .ci/addresses writes it here.
HOMEPAGE = "https://pypi.org/project/procmirror/"
DOCUMENTATION = (
    ("man procmirror", "the manual page"),
    ("procmirror --explain VIEW", "fields and units of a view"),
    (
        "share/doc/procmirror/docs/COOKBOOK.md",
        "questions with a line each; below /usr or the prefix of pip",
    ),
    (HOMEPAGE, "where releases are"),
)


class _Print(argparse.Action):
    """An option that prints a text and ends the command.

    argparse's own help action ignores a failure to write; the command reports it.
    """

    def __init__(
        self, option_strings: Sequence[str], dest: str, text: str = "", **keywords: Any
    ) -> None:
        super().__init__(option_strings, dest, nargs=0, **keywords)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        raise HelpRequested(self._text or parser.format_help())


class _Once(argparse.Action):
    """An option whose values would be lost if it were given twice."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, and ask whether a similar option was meant."""

    def error(self, message: str) -> NoReturn:
        unknown = re.fullmatch(r"unrecognized arguments: (--?[\w-]+)\b.*", message)
        if unknown:
            known = [name for group in OPTIONS.values() for names in group for name in names]
            message += did_you_mean(unknown[1], known)
        # argparse quotes a word by repr(), which writes a byte that is no UTF-8 as a surrogate.
        message = re.sub(r"\\udc([89a-f][0-9a-f])", r"\\x\1", message)
        raise UsageError(f"{message.removeprefix('argument ')} (see procmirror --help)")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the known word that it resembles most, or ""."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), 1, 0.7)
    return f"; did you mean {close[0]}?" if close else ""


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
        ("-d", "--debug"): {
            "action": "store_true",
            "help": "the same, and log each request (operation, path, requester, time, errno)",
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
            "help": "print views or entries of /proc, such as self/limits.json or '*/fd.txt'",
        },
        ("--watch",): {
            "action": _Once,
            "nargs": "+",
            "metavar": ("SECONDS", "PATH"),
            "help": "show what the counters of views count in each interval, who is new or gone",
        },
        ("--times",): {
            "type": int,
            "metavar": "NUMBER",
            "help": "how many intervals --watch shows (default: until it is ended)",
        },
        ("--diff",): {
            "action": _Once,
            "nargs": 2,
            "metavar": ("OLD", "NEW"),
            "help": "show what differs between two saved views: new, gone, changed, counted",
        },
        ("--color",): {
            "choices": ("auto", "always", "never"),
            "default": "auto",
            "metavar": "WHEN",
            "help": "colour what is printed: auto (on a terminal, default), always or never",
        },
        ("--no-pager",): {
            "dest": "paged",
            "action": "store_false",
            "help": "do not use a pager on a terminal",
        },
        ("--decode",): {
            "action": _Once,
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
        ("--byte-order",): {
            "choices": ["little", "big"],
            "metavar": "ORDER",
            "help": "little or big, of its processor (default: as here)",
        },
    },
    "about the views": {
        ("--explain",): {
            "action": _Once,
            "metavar": "VIEW",
            "help": "describe a view: its fields, units and source, with an example",
        },
        ("--schema",): {
            "action": _Once,
            "metavar": "VIEW",
            "help": "print the JSON Schema of a view, such as PID/stat.json",
        },
        ("--list-views",): {
            "action": "store_true",
            "help": "print which views there are, and of what",
        },
    },
    "about a mirror": {
        ("--status",): {
            "action": _Once,
            "metavar": "MOUNTPOINT",
            "help": "print requests, errors, slow targets, workers and memory of its daemon",
        },
        ("--format",): {
            "choices": ("text", "json", "prometheus"),
            "default": "text",
            "metavar": "FORM",
            "help": "the form of --status: text (default), json or prometheus",
        },
    },
    "about the command": {
        ("-h", "--help"): {"action": _Print, "help": "show this help"},
        ("--version",): {
            "action": _Print,
            "text": f"procmirror {__version__}\n",
            "help": "show the version",
        },
    },
}


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = _Parser(
        prog="procmirror",
        usage="\n       ".join(f"procmirror {usage}" for usage in USAGES),
        description=f"{PURPOSE}.",
        epilog=f"mount options:\n{_table(mount_options())}\n\nexamples:\n{_table(EXAMPLES)}\n\n"
        f"documentation:\n{_table(DOCUMENTATION)}",
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
