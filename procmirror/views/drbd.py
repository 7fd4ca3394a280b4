"""/proc/drbd: the devices that DRBD replicates.

Source: drbd_seq_show in drivers/block/drbd/drbd_proc.c.

The version, then two lines a device, and while it synchronises two more. Amounts are in KiB. A
device that is not configured has one line. DRBD 9 prints the version only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import scaled
from procmirror.decoding.table import Rows, matched, paragraphs, pieces
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc

_HEAD = re.compile(rb" *(\d+): cs:(\S+)(.*)")
_BEGINS = re.compile(rb" *\d+: | *\S+ cs:")
_WORD = re.compile(rb"(?<![a-z])([a-z]++):(\S+)")
_SYNC = re.compile(rb"(sync'ed|verified): *([\d.]+)% \((\d+)/(\d+)\)([KM])")
_FINISH = re.compile(
    rb"finish: (\d+):(\d\d):(\d\d) speed: ([\d,]+) \((?:[\d,]+ -- )?([\d,]+)\)"
    rb"(?: want: ([\d,]+))? K/sec( \(stalled\))?"
)
# Statistics of a cache (with the parameter proc_details): there are two, with the same words.
_CACHE = re.compile(rb"(?m)^[ \t]*(\w+): (used:.*)$\n?")
_PROTOCOLS = {b"A", b"B", b"C"}


class Device(Record, frozen=True, kw_only=True):
    """One device; counted since it was connected."""

    minor: Annotated[int, doc("Its minor number")]
    connection: Annotated[str, doc("State of the connection: `Connected`, `SyncSource`, …")]
    role: Annotated[str | None, doc("Its own role: `Primary`, `Secondary`, `Unknown`")] = None
    peer_role: Annotated[str | None, doc("The peer's role")] = None
    disk: Annotated[str | None, doc("State of its own disk: `UpToDate`, `Inconsistent`, …")] = None
    peer_disk: Annotated[str | None, doc("State of the peer's disk")] = None
    protocol: Annotated[str | None, doc("`A`, `B` or `C`: when a write is complete")] = None
    io_flags: Annotated[str | None, doc("`r` or `s` (suspended), and why, as printed")] = None
    sent: Annotated[int | None, counted("Sent over the network", "bytes")] = None
    received: Annotated[int | None, counted("Received over the network", "bytes")] = None
    written: Annotated[int | None, counted("Written to the disk", "bytes")] = None
    read: Annotated[int | None, counted("Read from the disk", "bytes")] = None
    activity_log: Annotated[int | None, counted("Updates of the activity log")] = None
    bitmap: Annotated[int | None, counted("Updates of the bitmap")] = None
    local_count: Annotated[int | None, doc("Requests to the local disk under way")] = None
    pending: Annotated[int | None, doc("Requests that the peer has not answered")] = None
    unacknowledged: Annotated[int | None, doc("Requests of the peer not answered yet")] = None
    application_pending: Annotated[int | None, doc("Requests not answered yet")] = None
    epochs: Annotated[int | None, doc("Epochs between barriers")] = None
    write_order: Annotated[str | None, doc("`b` barrier, `f` flush, `d` drain, `n` none")] = None
    out_of_sync: Annotated[int | None, doc("Not the same on both sides", "bytes")] = None
    synchronised: Annotated[float | None, doc("How much is synchronised", "percent")] = None
    verified: Annotated[float | None, doc("How much is verified", "percent")] = None
    sync_left: Annotated[int | None, doc("Not synchronised or verified yet", "bytes")] = None
    sync_total: Annotated[int | None, doc("To be synchronised or verified", "bytes")] = None
    remaining: Annotated[float | None, doc("Until it has finished", "seconds")] = None
    speed: Annotated[int | None, doc("Speed in the last 18 seconds or so", "bytes/second")] = None
    mean_speed: Annotated[int | None, doc("Speed since it began", "bytes/second")] = None
    wanted_speed: Annotated[int | None, doc("Speed that is aimed at", "bytes/second")] = None
    stalled: Annotated[bool | None, doc("Whether it makes no progress")] = None
    extra: Extra = UNSET


class Drbd(Record, frozen=True):
    """The whole file."""

    version: Annotated[str | None, doc("Version of the module, with api and protocol")]
    source: Annotated[str | None, doc("The line behind it: srcversion, or GIT-hash")]
    devices: Annotated[list[Device], doc("The devices")]
    lines: Annotated[list[str], doc("Lines that could not be decoded")]


def _kilobytes(word: bytes) -> int:
    return scaled(word, 1024)


_COUNTS: dict[bytes, tuple[str, Callable[[bytes], Any]]] = {
    b"ns": ("sent", _kilobytes),
    b"nr": ("received", _kilobytes),
    b"dw": ("written", _kilobytes),
    b"dr": ("read", _kilobytes),
    b"al": ("activity_log", int),
    b"bm": ("bitmap", int),
    b"lo": ("local_count", int),
    b"pe": ("pending", int),
    b"ua": ("unacknowledged", int),
    b"ap": ("application_pending", int),
    b"ep": ("epochs", int),
    b"wo": ("write_order", decoded),
    b"oos": ("out_of_sync", _kilobytes),
}


def decode(raw: bytes, _: Machine) -> Drbd:
    """The version and the devices."""
    (_number, head), *rest = [*paragraphs(raw, _BEGINS.match)] or [(1, b"")]
    version, _newline, source = head.partition(b"\n")
    match = re.fullmatch(rb"version: (.*)", version)
    if match is None and not rest:
        raise expected("version: …", version)
    found: Rows[Device] = pieces(rest, _device) if rest else Rows()
    bad = [decoded(version)] * (match is None) + [one.line for one in found.undecoded]
    told = decoded(match[1]) if match else None
    return Drbd(told, decoded(source.strip()) or None, list(found), bad)


def _device(piece: bytes) -> Device:
    first, _, below = piece.partition(b"\n")
    match = matched(_HEAD, first, "MINOR: cs:STATE …")
    found: dict[str, Any] = {}
    extra: dict[str, str] = {}
    words = match[3].split()
    for word in words:
        key, colon, value = word.partition(b":")
        if colon and key in {b"ro", b"st", b"ds"}:
            own, _, peer = decoded(value).partition("/")
            names = ("disk", "peer_disk") if key == b"ds" else ("role", "peer_role")
            found |= dict(zip(names, (own, peer or None), strict=True))
        elif colon:
            extra[decoded(key)] = decoded(value)
        else:
            # Without a connection the protocol is a blank.
            found["protocol" if word in _PROTOCOLS else "io_flags"] = decoded(word)
    extra |= {decoded(cache): decoded(rest) for cache, rest in _CACHE.findall(below)}
    below = _CACHE.sub(b"", below)
    for key, value in _WORD.findall(below):
        name, read = _COUNTS.get(key, ("", None))
        if read is not None:
            found[name] = read(value)
        elif key not in {b"finish", b"speed"}:
            extra[decoded(key)] = decoded(value)
    extra |= {decoded(line.strip()): "" for line in below.split(b"\n") if not _is_known(line)}
    return Device(
        minor=int(match[1]),
        connection=decoded(match[2]),
        **found,
        **_progress(below),
        extra=extra or UNSET,
    )


def _is_known(line: bytes) -> bool:
    patterns = (_WORD, _SYNC, _FINISH)
    return not line.strip() or any(pattern.search(line) for pattern in patterns)


def _progress(below: bytes) -> dict[str, Any]:
    """How far it has synchronised, from the lines that are there only then."""
    done, finish = _SYNC.search(below), _FINISH.search(below)
    found: dict[str, Any] = {}
    if done:
        found["verified" if done[1] == b"verified" else "synchronised"] = float(done[2])
        unit = 1024 if done[5] == b"K" else 1 << 20
        found["sync_left"], found["sync_total"] = scaled(done[3], unit), scaled(done[4], unit)
    if finish:
        hours, minutes, seconds = (int(finish[at]) for at in (1, 2, 3))
        found["remaining"] = float(hours * 3600 + minutes * 60 + seconds)
        for name, at in (("speed", 4), ("mean_speed", 5), ("wanted_speed", 6)):
            if finish[at] is not None:
                found[name] = scaled(finish[at].replace(b",", b""), 1024)
        found["stalled"] = bool(finish[7])
    return found
