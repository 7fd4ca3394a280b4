"""/proc/mdstat: the software RAIDs.

Source: md(4), md_seq_show in drivers/md/md.c and the status functions of each level.

One paragraph an array: the head with its devices, a line of sizes where the level adds its own
words, then the bitmap and what is going on, if anything. Blocks are 1024 bytes.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decode.shapes import blocks
from procmirror.decode.text import decoded
from procmirror.decode.view import Machine, Record, doc

HEAD = re.compile(r"(\S+) : (active|inactive|broken)(?: \(([^)]*)\))?(.*)")
DEVICE = re.compile(r"([^\s\[\]]+)\[(\d+)\]((?:\([A-Z]\))*)")
SIZE = re.compile(r"(\d+) blocks(?: super (\S+))?(.*)")
DISKS = re.compile(r"\[(\d+)/(\d+)\] \[([U_]*)\]")
BITMAP = re.compile(r"bitmap: (\d+)/(\d+) pages \[(\d+)KB\], (\d+)(B|KB) chunk(?:, file: (.*))?")
PROGRESS = re.compile(
    r"\[=*>\.*\]\s+(\w+) = *([\d.]+)% \((\d+)/(\d+)\) finish=([\d.]+)min speed=(\d+)K/sec"
)
WAITING = re.compile(r"(resync|reshape|recovery|check)=(DELAYED|PENDING|REMOTE)")
FLAGS = {"W": "write-mostly", "J": "journal", "F": "faulty", "S": "spare", "R": "replacement"}


class Device(Record, frozen=True):
    """One device of an array."""

    name: Annotated[str, doc("Its name")]
    number: Annotated[int, doc("Its number in the array")]
    flags: Annotated[list[str], doc("write-mostly, journal, faulty, spare, replacement")]


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
    disks: Annotated[str | None, doc("Its places in order: U up, _ missing")]
    bitmap: Annotated[Bitmap | None, doc("The write-intent bitmap")]
    action: Annotated[Action | None, doc("What it does beside its work")]
    lines: Annotated[list[str], doc("Lines that have no field here")]


class Mdstat(Record, frozen=True):
    """The whole file."""

    personalities: Annotated[list[str], doc("The levels that the kernel has loaded")]
    arrays: Annotated[list[Array], doc("The arrays")]
    unused_devices: Annotated[list[str], doc("Devices of no array")]


def decode(raw: bytes, _: Machine) -> Mdstat:
    """The paragraphs between the first line and the last."""
    head, _newline, rest = decoded(raw).partition("\n")
    body, unused, devices = rest.rpartition("unused devices: ")
    if not head.startswith("Personalities :") or not unused:
        raise ValueError("the first or the last line is missing")
    arrays = [_array(decoded(block).strip("\n").split("\n")) for block in blocks(body.encode())]
    names = [name for name in devices.split() if name != "<none>"]
    return Mdstat(re.findall(r"\[(.*?)\]", head), arrays, names)


def _array(lines: list[str]) -> Array:
    head = HEAD.fullmatch(lines[0])
    if not head:
        raise ValueError(f"no array: {lines[0][:40]!r}")
    name, state, read_only, rest = head.groups()
    level, *_ = [word for word in rest.split() if not DEVICE.fullmatch(word)] or [None]
    found = [_known(line.strip()) for line in lines[1:]]
    size = next((one for one in found if isinstance(one, re.Match)), None)
    details = DISKS.sub("", size[3]) if size else ""
    disks = DISKS.search(size[3]) if size else None
    return Array(
        name=name,
        state=state,
        read_only=read_only,
        level=level,
        devices=[_device(match) for match in DEVICE.finditer(rest)],
        size=int(size[1]) * 1024 if size else None,
        super=size[2] if size else None,
        details=" ".join(details.split()) or None,
        raid_disks=int(disks[1]) if disks else None,
        working_disks=int(disks[2]) if disks else None,
        disks=disks[3] if disks else None,
        bitmap=next((one for one in found if isinstance(one, Bitmap)), None),
        action=next((one for one in found if isinstance(one, Action)), None),
        lines=[one for one in found if isinstance(one, str) and one],
    )


def _device(match: re.Match[str]) -> Device:
    return Device(
        match[1],
        int(match[2]),
        [FLAGS.get(letter, letter) for letter in re.findall(r"\w", match[3])],
    )


def _known(line: str) -> re.Match[str] | Bitmap | Action | str:
    """What a line below the head says, or the line itself."""
    if match := BITMAP.fullmatch(line):
        unit = 1024 if match[5] == "KB" else 1
        return Bitmap(
            int(match[1]), int(match[2]), int(match[3]) * 1024, int(match[4]) * unit, match[6]
        )
    if match := WAITING.fullmatch(line):
        return Action(match[1], waits=match[2])
    if match := PROGRESS.fullmatch(line):
        done, total, speed = (int(match[at]) * 1024 for at in (3, 4, 6))
        return Action(
            match[1], None, float(match[2]), done, total, round(float(match[5]) * 60, 1), speed
        )
    return SIZE.fullmatch(line) or line
