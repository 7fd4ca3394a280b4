"""/proc/mdstat: the software RAIDs.

Source: md(4), md_seq_show in drivers/md/md.c and the status functions of each level.

Some lines an array: the head with its devices, a line of sizes where the level adds its own
words, then the bitmap and what is going on, if anything. Blocks are 1024 bytes. Unraid's own driver
prints `NAME=VALUE` lines instead.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.reasons import LineError, found
from procmirror.decoding.shapes import lines, scaled
from procmirror.decoding.table import matched
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

HEAD = re.compile(r"(\S+) : (active|inactive|broken)(?: \(([^)]*)\))?(.*)")
DEVICE = re.compile(r"(?<![^\s\[\]])([^\s\[\]]++)\[(\d{1,15})\]((?:\([A-Z]\))*)")
SIZE = re.compile(r"(\d{1,15}) blocks(?: super (\S+))?(.*)")
DISKS = re.compile(r"\[(\d{1,15})/(\d{1,15})\] \[([A-Z_]*)\]")
BITMAP = re.compile(
    r"bitmap: (\d{1,15})/(\d{1,15}) pages \[(\d{1,15})KB\], (\d{1,15})(B|KB) chunk(?:, file: (.*))?"
)
PROGRESS = re.compile(
    r"\[=*>\.*\]\s+(\w+) = *(\d{1,15}(?:\.\d{1,15})?)% \((\d{1,15})/(\d{1,15})\) "
    r"finish=(\d{1,15}(?:\.\d{1,15})?)min speed=(\d{1,15})K/sec"
)
# What the kernel escapes in the path of a bitmap: a backslash is not among it.
ESCAPED = re.compile(r"\\(040|011|012)")
WAITING = re.compile(r"(resync|reshape|recovery|recover|check)=(DELAYED|PENDING|REMOTE)")
SUPER = re.compile(r"super (\S+)")
UNRAID = re.compile(r"[A-Za-z]\w*(?:\.\d{1,15})?=")
# What a line below the head of an array may be about.
LINES = {"size": SIZE, "bitmap": BITMAP, "waiting": WAITING, "progress": PROGRESS}
FLAGS = {
    "W": "write-mostly",
    "J": "journal",
    "F": "faulty",
    "S": "spare",
    "R": "replacement",
    "E": "error",
}


class Device(Record, frozen=True):
    """One device of an array."""

    name: Annotated[str, doc("Its name")]
    number: Annotated[int, doc("Its number in the array")]
    flags: Annotated[
        list[str], doc("write-mostly, journal, faulty, spare, replacement; error (Synology)")
    ]


class Bitmap(Record, frozen=True):
    """The write-intent bitmap."""

    used: Annotated[int, doc("Its pages in memory")]
    pages: Annotated[int, doc("Its pages")]
    size: Annotated[int, doc("Memory that they take", "bytes")]
    chunk: Annotated[int, doc("What one bit stands for", "bytes")]
    file: Annotated[str | None, doc("The file it is in; null: in the array")]


class Action(Record, frozen=True):
    """What the array does beside its work."""

    action: Annotated[str, doc("resync, recovery, reshape or check")]
    waits: Annotated[str | None, doc("Why it does not yet: DELAYED, PENDING or REMOTE")] = None
    progress: Annotated[float | None, doc("How much is done", "percent")] = None
    done: Annotated[int | None, doc("How much is done", "bytes")] = None
    total: Annotated[int | None, doc("How much there is to do", "bytes")] = None
    remaining: Annotated[
        float | None, doc("When it will have finished, at this speed", "seconds")
    ] = None
    speed: Annotated[int | None, doc("Its speed", "bytes/second")] = None


class Array(Record, frozen=True):
    """One array."""

    name: Annotated[str, doc("Its name")]
    state: Annotated[str, doc("active, inactive or broken")]
    read_only: Annotated[str | None, doc("read-only or auto-read-only; null if it is neither")]
    level: Annotated[str | None, doc("raid0, raid1, linear, …; null if it is inactive")]
    devices: Annotated[list[Device], doc("Its devices")]
    size: Annotated[int | None, doc("Its size", "bytes")]
    super: Annotated[str | None, doc("Version of its metadata; null: 0.90")]
    details: Annotated[str | None, doc("What its level says: chunks, algorithm, copies")]
    raid_disks: Annotated[int | None, doc("Devices that it should have")]
    working_disks: Annotated[int | None, doc("Devices that it has")]
    disks: Annotated[str | None, doc("Its places in order: U up, _ missing, E error (Synology)")]
    bitmap: Annotated[Bitmap | None, doc("The write-intent bitmap")]
    action: Annotated[Action | None, doc("What it does beside its work")]
    lines: Annotated[list[str], doc("Lines that have no field here")]


class Mdstat(Record, frozen=True):
    """The whole file."""

    personalities: Annotated[
        list[str] | None, doc("The levels that the kernel has loaded; null where it does not say")
    ]
    arrays: Annotated[list[Array], doc("The arrays")]
    unused_devices: Annotated[list[str], doc("Devices of no array")]
    lines: Annotated[list[str], doc("Lines that have no field here")]


def decode(raw: bytes, _: Machine) -> Mdstat:
    """The line of personalities, the arrays, the unused devices.

    An array begins at each line that does not begin with a blank: between arrays without a bitmap
    the kernel prints a line of blanks, not an empty one.
    """
    lines_of_file = [decoded(line) for line in lines(raw)]
    personalities, unused, others = None, list[str](), list[str]()
    arrays: list[list[str]] = []
    whole = True  # the head of the array is known
    for line in lines_of_file:
        title, colon, rest = line.partition(":")
        if colon and title.strip() == "Personalities":
            personalities = re.findall(r"\[([^][]*+)\]", rest)
        elif colon and title == "unused devices":
            unused = [name for name in rest.split() if name != "<none>"]
        elif HEAD.fullmatch(line):
            arrays.append([line])
            whole = True
        elif line.strip():
            whole = whole and line[0].isspace()
            (arrays[-1] if arrays and whole else others).append(line)
    unraid = all(map(UNRAID.match, filter(str.strip, lines_of_file)))
    if personalities is None and not arrays and not unraid:
        raise LineError(1, f"expected Personalities : …, found {found(raw)}")
    return Mdstat(personalities, list(map(_array, arrays)), unused, others)


def _array(lines_of_it: list[str]) -> Array:
    head, *body = lines_of_it
    name, state, read_only, rest = matched(HEAD, head, "NAME : STATE").groups()
    words = [word for word in rest.split() if not DEVICE.fullmatch(word)]
    # An array that is inactive has no level; one without devices has `super` right behind that.
    level = words.pop(0) if words and words[0] != "super" else None
    found = _known(body)
    # An array that has lost all its devices has what else stands below the head at its end.
    tail = " ".join(words)
    size = found.pop("size", None)
    about = size[3] if size else tail
    disks, shown = DISKS.search(about), SUPER.sub("", DISKS.sub("", about))
    superblock = size[2] if size else next(iter(SUPER.findall(about)), None)
    return Array(
        name=name,
        state=state,
        read_only=read_only,
        level=level,
        devices=[_device(match) for match in DEVICE.finditer(rest)],
        size=scaled(size[1], 1024) if size else None,
        super=superblock,
        details=" ".join(shown.split()) or None,
        raid_disks=int(disks[1]) if disks else None,
        working_disks=int(disks[2]) if disks else None,
        disks=disks[3] if disks else None,
        bitmap=_bitmap(found.pop("bitmap", None)),
        action=_action(found.pop("waiting", None), found.pop("progress", None)),
        lines=_left(body),
    )


def _device(match: re.Match[str]) -> Device:
    return Device(
        match[1],
        int(match[2]),
        [FLAGS.get(letter, letter) for letter in re.findall(r"\w", match[3])],
    )


def _known(body: list[str]) -> dict[str, re.Match[str]]:
    """The lines below the head by what they are about; the first of each kind."""
    found: dict[str, re.Match[str]] = {}
    for line in map(str.strip, body):
        for name, pattern in LINES.items():
            if match := pattern.fullmatch(line):
                found.setdefault(name, match)
                break
    return found


def _left(body: list[str]) -> list[str]:
    """The lines that are not the first of any kind."""
    used = {match[0] for match in _known(body).values()}
    return [line for line in map(str.strip, body) if line not in used]


def _bitmap(match: re.Match[str] | None) -> Bitmap | None:
    if match is None:
        return None
    unit = 1024 if match[5] == "KB" else 1
    used, pages, size, chunk = (int(match[at]) for at in range(1, 5))
    file = match[6] and ESCAPED.sub(lambda escape: chr(int(escape[1], 8)), match[6])
    return Bitmap(used, pages, size * 1024, chunk * unit, file)


def _action(waiting: re.Match[str] | None, progress: re.Match[str] | None) -> Action | None:
    if waiting:
        return Action(waiting[1], waits=waiting[2])
    if progress is None:
        return None
    done, total, speed = (scaled(progress[at], 1024) for at in (3, 4, 6))
    share, remaining = float(progress[2]), round(float(progress[5]) * 60, 1)
    return Action(progress[1], None, share, done, total, remaining, speed)
