r"""The manual page, made from the parser's own tables of options.

`python -m procmirror.cli.manual` prints docs/procmirror.8.

The source language is man(7): `.SH` begins a section, `.TP` an item, `\fB` is bold, `\fI` marks
what a user replaces.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from procmirror import __version__
from procmirror.cli.catalogue_rules import UNITS
from procmirror.cli.options import EXAMPLES, HOMEPAGE, OPTIONS, PURPOSE, USAGES, mount_options
from procmirror.mirror.index import INDEXES

DESCRIPTION = """\
*procmirror* shows every entry of a procfs under MOUNTPOINT as it is, and beside it decoded views:
/NAME/.txt for people, /NAME/.json for programs. The kernel decides every access to an entry or its
view at the time of the request, with the requester's own user, groups, capabilities and namespaces.

The command returns when the mount answers, and a daemon goes on in the background, logging to
syslog. *umount*(8), *fusermount3*(1), SIGTERM, SIGINT and SIGHUP end it; SIGUSR1 has it log its
state. A MOUNTPOINT whose daemon was killed is taken over. Mounted by root it serves every user;
another user's mount serves that user alone. The mount is always nosuid, nodev and noexec, and it is
read-only unless *-o write* is given.

With *--print*, *--decode*, *--schema* and *--list-views* nothing is mounted, and FUSE is not
needed."""
PATHS = f"""\
PATH is relative to /proc or begins with it. The command prints what it may read itself. It reports
an entry that it cannot read on standard error, and prints the others. VIEW is a path with PID for
the number of a process: PID/stat.json, net/tcp.txt, meminfo. Without a suffix it means the JSON.

{UNITS}"""
HIDING = """\
Globs of *hide* are as in *glob*(7), but an asterisk matches slashes too. They are compared with the
name alone and with the path from the root, with PID for the number of a process and TID for that of
a thread; what is hidden of a process is hidden of its threads. The views of a hidden entry are
hidden as well. Views made from several files still contain what they take from a hidden one.
Options that *mount*(8) passes for every file system, such as rw or dev, are accepted and change
nothing."""
CHANGING = """\
With *write* a file of /proc can be opened for writing as it can there, and what is written is
passed on with the rights of the requester that opened it: PID/oom_score_adj, PID/coredump_filter,
PID/clear_refs, sys/vm/swappiness. The kernel decides, and its error is returned. Views and PID/mem
stay read-only for everybody. The whole mirror stays read-only for requesters in another mount, pid
or user namespace than its daemon, such as processes of containers, and for requesters that a
security module confines. *ro* with *write* is an error. A write of up to a megabyte arrives as one.

With *links=proc* the links of processes whose text is a path, such as PID/exe, PID/cwd and
PID/fd/N, read as the same link below /proc. Following it, the kernel leads to the very object,
even if it is deleted or in another mount namespace. Other texts, such as pipe:[1], stay, and
requesters in another pid namespace get the text. SOURCE has to be /proc, and MOUNTPOINT another
directory."""
# Lines of docs/COOKBOOK.md; the test of that document runs each of them.
QUESTIONS = (
    ("head -n 2 /mnt/proc/PID/stack.txt", "what a stuck process waits for"),
    (
        "grep -ls '^API_KEY=old-key$' /mnt/proc/[0-9]*/environ.txt",
        "whose environment has the old key",
    ),
    (
        "grep -ls libssl.*deleted /mnt/proc/*/maps.txt",
        "who still uses the library that was replaced",
    ),
    ("grep 'LISTEN .*:8080 ' /mnt/proc/sockets.txt", "who listens on port 8080"),
)
DEBUGGING = """\
With *-d* the log has one line for each request of the kernel: the operation, the path, the
thread and user that asked, the process that answered (*here* is the daemon), the lock of the
target that the operation may have waited for, the microseconds that it took, and its errno.
Names are escaped, and contents are never shown. Lines that standard error does not take at once
are dropped and counted."""
STAMPING = """\
*stamp* distinguishes records that were collected from many machines. It adds the host name of the
machine that is mirrored, also in a container; the random number of its boot; and the moment, in
UTC, when the snapshot was begun."""
INDEXED = """\
The directories by-... in the root of the mount contain each process by a property of it, as a link
to its directory, for those requesters that the kernel tells that property. Every directory that can
have a name exists, so that none has to be listed to look into one: by-port/tcp/8080.
In by-exe, by-file, by-cgroup and by-parent the links stand in a directory called pids. Characters
that would end a line or drive a terminal are escaped, a slash in a name is U+2215, and names that
would mean something else begin with an equals sign. With *views=none* there are no indexes."""
STATUS = {
    "0": "The mount answers or, with -f, has ended as it was told to; everything was printed.",
    "1": "It failed, or something could not be printed; standard error says what, one line each.",
    "2": "The command line makes no sense.",
}
ENVIRONMENT = {
    "NOTIFY_SOCKET": (
        "With *-f*, where a service manager waits to be told that the mount answers, "
        "see *sd_notify*(3); it is told a status too."
    ),
    "WATCHDOG_USEC": "Within how many microseconds the manager wants a sign of life.",
    "PROCMIRROR_PAGER, PAGER": (
        "The pager on a terminal for *--print* and for what tells about views, *less*(1) by "
        "default; none if empty, or where TERM is *dumb* or missing."
    ),
    "NO_COLOR": "With any value there are no colours.",
    "JOURNAL_STREAM": "Where it is standard error, the journal gets the log with fields.",
}
FILES = {
    "/etc/passwd, /etc/group": "Names of users and groups are taken from these files only.",
    "/usr/share/doc/procmirror": (
        "The README and, in docs and examples, the documents, among them COOKBOOK.md and "
        "VIEWS.md, and the examples. Those that pip installs are in share/doc/procmirror below "
        "its prefix."
    ),
    "MOUNTPOINT/README.txt": "What the mirror is; not with *views=none*.",
    "MOUNTPOINT/.procmirror.json": (
        "What *--status* prints, for the user who mounted it alone. It is not listed."
    ),
    "/dev/fuse": "To mount, the command must be able to read and write it.",
}
NOTES = """\
Links such as /proc//PID//fd//N/ and /proc//PID//exe are text here unless *links=proc* is given:
following one follows its text. A requester that a security module confines is answered under its
label; where the mirror cannot take that on, all that tells of processes is refused, unless
*lsm=ignore* is given. A file that is passed to another process is
still read with the rights of the requester that opened it."""
KEEPING_OUT = """\
A mirror is another /proc, which programs that walk over all files do not know. *updatedb*(8) passes
over it with fuse.procmirror in PRUNEFS of /etc/updatedb.conf; *find*(1) with -xdev; *du*(1) and
*rsync*(1) with -x; *tar*(1), restic and borg with --one-file-system; AIDE with !/mnt/proc; ClamAV
with ExcludePath. With *hide=PID/pagemap:PID/mem:kcore:kpagecount:kpageflags:kpagecgroup* nothing in
it is endless."""
# Characters that man(7) would print as a hyphen, as quotation marks or as accents.
_AS_THEY_ARE = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "^": r"\(ha", "`": r"\(ga", "~": r"\(ti", "…": "..."}
)
SEE_ALSO = "*proc*(5), *mount.fuse3*(8), *fusermount3*(1), *mount*(8), *jq*(1)"


def manual() -> str:
    """The text of docs/procmirror.8."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield '.\\" Made by python -m procmirror.cli.manual'
    yield f'.TH PROCMIRROR 8 "" "procmirror {__version__}" "System Administration"'
    yield from (".nh", ".SH NAME", f"procmirror \\- {_plain(PURPOSE[0].lower() + PURPOSE[1:])}")
    yield ".SH SYNOPSIS"
    for at, usage in enumerate(USAGES):
        yield from [".br"][: at > 0]
        yield f"\\fBprocmirror\\fR {_plain(usage)}"
    yield from _section("DESCRIPTION", DESCRIPTION)
    yield from _options()
    yield ".SH INDEXES"
    yield from _paragraphs(INDEXED)
    layouts = {f"{one.name}/{one.layout}": f"By {one.content}." for one in INDEXES.values()}
    yield from _table(layouts)
    for title, table in (("EXIT STATUS", STATUS), ("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        yield from _table(table)
    yield ".SH EXAMPLES"
    yield from _table(dict((*EXAMPLES, *QUESTIONS)))
    yield from _section("NOTES", NOTES)
    yield from _section("BACKUPS AND SCANNERS", KEEPING_OUT)
    yield from _section("SEE ALSO", f"{SEE_ALSO}\n\nReleases: {HOMEPAGE}")


def _options() -> Iterator[str]:
    yield ".SH OPTIONS"
    for title, options in OPTIONS.items():
        yield f".SS {_plain(title[0].upper() + title[1:])}"
        yield from _items(
            (_names(names, keywords), keywords["help"]) for names, keywords in options.items()
        )
    yield ".SS Paths and views"
    yield from _paragraphs(PATHS)
    yield ".SS Mount options"
    yield from _items((_written(option), meaning) for option, meaning in mount_options())
    for text in (HIDING, CHANGING, STAMPING, DEBUGGING):
        yield from _paragraphs(text)


def _section(title: str, text: str) -> Iterator[str]:
    yield f".SH {title}"
    yield from _paragraphs(text)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield ".PP"
        yield from map(_marked, paragraph.split("\n"))


def _items(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, meaning in rows:
        yield from (".TP", name, _marked(meaning))


def _table(meanings: Mapping[str, str]) -> Iterator[str]:
    yield from _items((f"\\fB{_plain(name)}\\fR", text) for name, text in meanings.items())


def _names(names: tuple[str, ...], keywords: dict[str, Any]) -> str:
    """An option with its value: -o OPT, --print PATH..."""
    given = keywords.get("metavar", ())
    words = (given,) if isinstance(given, str) else given
    value = " ".join(f"\\fI{_plain(word)}\\fR" for word in words)
    if not names[0].startswith("-"):
        return value
    more = "..." if keywords.get("nargs") == "+" else ""
    written = ", ".join(f"\\fB{_plain(name)}\\fR" for name in names)
    return f"{written} {value}{more}" if value else written


def _written(option: str) -> str:
    name, equals, value = option.partition("=")
    return f"\\fB{_plain(name + equals)}\\fR" + (f"\\fI{_plain(value)}\\fR" if value else "")


def _plain(text: str) -> str:
    """Escape a text for man(7): a copy from the page is identical, and no line is a request."""
    escaped = text.translate(_AS_THEY_ARE)
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _marked(text: str) -> str:
    """Escape a text in which *this* is bold, and /THIS/ is to be replaced by the user."""
    bold = re.sub(r"\*([^*]+)\*", r"\\fB\1\\fR", _plain(text))
    return re.sub(r"/([A-Z]+)/", r"\\fI\1\\fR", bold)


if __name__ == "__main__":
    sys.stdout.write(manual())
