r"""/proc/fs/cifs/Stats: what the SMB client has done.

Source: cifs_stats_proc_show in fs/smb/client/cifs_debug.c, print_stats of each version of SMB.

First the resources of the client and, with CONFIG_CIFS_STATS2, a table of the commands; then a
block for each share, from `N) \\server\share` on. Most lines are words with numbers between them;
which, depends on the version of SMB.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, counted, doc
from procmirror.kernel.smb import COMMANDS

_SHARE = re.compile(rb"(\d{1,19})\) (\S+)(.*)")
# A time as the kernel prints it (%ptTs).
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC")
_SINCE = re.compile(rb"(SMBs: \d{1,19}) since (.+)")
_TABLE = re.compile(rb"SMB3 CMD\s+Number\s+Total Time\s+Fastest\s+Slowest|[- \t]+")
_ROW = re.compile(rb"(\d{1,19})\s+(\d{1,19})\s+(\d{1,19})\s+(\d{1,19})\s+(\d{1,19})")
_JIFFIES = re.compile(rb".* jiffies \(([1-9]\d{0,8}) per second\)")
_NUMBER = re.compile(r"(?<![\w.])(?:\d{1,19}|-\d{1,18})(?![\w.])")
Counts = dict[str, list[int]]


class Command(Record, frozen=True):
    """What the answers to one command took.

    Times are jiffies there, of which a line says how many are a second; without it the rows stay
    lines.
    """

    command: Annotated[int, doc("Its number")]
    name: Annotated[str | None, doc("Its name in SMB 2 and 3")]
    number: Annotated[int, counted("Answers")]
    total_time: Annotated[float, counted("All of them together", "seconds")]
    fastest: Annotated[float, doc("The fastest", "seconds")]
    slowest: Annotated[float, doc("The slowest", "seconds")]


class Share(Record, frozen=True):
    """One share that is mounted."""

    number: Annotated[int, doc("Its number in the list")]
    share: Annotated[str, doc("Its name, `\\\\server\\share`")]
    disconnected: Annotated[bool, doc("Whether its connection is lost")]
    since: Annotated[str | None, doc("From when on it counts (ISO 8601); null if it is not told")]
    counters: Annotated[Counts, doc("The numbers of each line, by its words with N for a number")]
    lines: Annotated[list[str], doc("Lines without numbers, and repeated ones")]


class Stats(Record, frozen=True):
    """The file."""

    resources: Annotated[
        Counts, doc("What the client has in use: the numbers of each line, by its words with N")
    ]
    commands: Annotated[list[Command], doc("The commands; empty if the kernel does not count them")]
    shares: Annotated[list[Share], doc("The shares")]
    lines: Annotated[list[str], doc("Lines before the shares without numbers, and repeated ones")]


def decode(raw: bytes, _: Machine) -> Stats:
    """The resources and the shares."""
    every = [line.strip() for line in lines(raw)]
    titled = every[:1] == [b"Resources in use"]
    if not titled and not any(map(_SHARE.fullmatch, every)):
        raise expected("Resources in use", raw)
    starts = [at for at, line in enumerate(every) if _SHARE.fullmatch(line)]
    head = every[titled : starts[0] if starts else None]
    told = next((int(match[1]) for line in head if (match := _JIFFIES.fullmatch(line))), None)
    found = {line: match for line in head if told and (match := _ROW.fullmatch(line))}
    rows = [_command(match, told or 1) for match in found.values()]
    other = [line for line in head if not (line in found or _TABLE.fullmatch(line))]
    resources, rest = _numbers(other)
    shares = [_share(every[a:b]) for a, b in _spans(starts, len(every))]
    return Stats(resources, rows, shares, rest)


def _command(match: re.Match[bytes], per_second: int) -> Command:
    command, number, *jiffies = map(int, match.groups())
    times = (one / per_second for one in jiffies)
    return Command(command, dict(enumerate(COMMANDS)).get(command), number, *times)


def _spans(starts: list[int], end: int) -> list[tuple[int, int]]:
    return list(zip(starts, [*starts[1:], end], strict=False))


def _share(block: list[bytes]) -> Share:
    match = _SHARE.fullmatch(block[0])
    assert match
    first = _SINCE.fullmatch(block[1]) if block[1:] else None
    counters, rest = _numbers([first[1], *block[2:]] if first else block[1:])
    since = _MOMENT.sub(r"\1T\2Z", decoded(first[2])) if first else None
    lost = b"DISCONNECTED" in match[3]
    return Share(int(match[1]), decoded(match[2]), lost, since, counters, rest)


def _numbers(block: list[bytes]) -> tuple[Counts, list[str]]:
    """The numbers of some lines by the words of each, and the lines without any."""
    found: Counts = {}
    rest: list[str] = []
    for line in map(decoded, filter(None, block)):
        words, count = _NUMBER.subn("N", line)
        if count and words not in found:
            found[words] = list(map(int, _NUMBER.findall(line)))
        else:
            rest.append(line)
    return found, rest
