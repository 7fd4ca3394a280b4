"""/proc/net/vlan/: the VLAN interfaces.

Source: net/8021q/vlanproc.c.

One joined view: `config` has a row for each interface, and each has a file of its own with its
counters and how priorities are mapped. Only root may read them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import UNSET, field, structs

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import counter, lines
from procmirror.decoding.table import Rows, matched, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Incomplete, Machine, Reading, Record, counted, doc

_CONFIG = re.compile(rb"(\S.*?)\s*\| (\d+)  \| (.*)")
_FIRST = re.compile(rb"(.*)  VID: (\d+)\s+REORDER_HDR: (\d+)  dev->priv_flags: ([0-9a-f]+)")
_COUNTER = re.compile(rb" *(\S.*?) +(\d+)")
_MAPPED = re.compile(rb"(?<!\S)(\d{1,10}):(\d{1,10})(?!\S)")
_COUNTERS = {
    b"total frames received": "frames_received",
    b"total bytes received": "bytes_received",
    b"Broadcast/Multicast Rcvd": "multicast_received",
    b"total frames transmitted": "frames_sent",
    b"total bytes transmitted": "bytes_sent",
}


class Vlan(Record, frozen=True, kw_only=True):
    """One VLAN interface."""

    interface: Annotated[str, doc("Its name")]
    vlan_id: Annotated[int | None, doc("Number of the VLAN")] = None
    device: Annotated[str | None, doc("The interface that it is on")] = None
    reorder_header: Annotated[
        bool | None, doc("Whether packets are shown without the tag (REORDER_HDR)")
    ] = None
    priv_flags: Annotated[str | None, doc("Private flags of the interface, hexadecimal")] = None
    frames_received: Annotated[int | None, counted("Received", "packets")] = None
    bytes_received: Annotated[int | None, counted("Received", "bytes")] = None
    multicast_received: Annotated[int | None, counted("Multicasts received", "packets")] = None
    frames_sent: Annotated[int | None, counted("Sent", "packets")] = None
    bytes_sent: Annotated[int | None, counted("Sent", "bytes")] = None
    ingress: Annotated[
        dict[str, int] | None, doc("By priority in the tag: the priority in the kernel")
    ] = None
    egress: Annotated[
        dict[str, int] | None, doc("By priority in the kernel: the priority in the tag")
    ] = None
    incomplete: Annotated[
        list[Incomplete], doc("Why a file could not be read or decoded; empty if they could")
    ] = field(default_factory=list)
    extra: Extra = UNSET


class Vlans(Record, frozen=True):
    """The directory."""

    name_type: Annotated[str | None, doc("How the kernel names new ones, `VLAN_NAME_TYPE_…`")]
    interfaces: Annotated[list[Vlan], doc("The interfaces")]
    incomplete: Annotated[
        list[Incomplete], doc("Why config, or a line of it, could not be read or decoded")
    ] = field(default_factory=list)


def join(reading: Reading, machine: Machine) -> Vlans:
    """The rows of config, each with what the interface's own file says."""
    names = reading.names("vlan")
    parts = Parts(reading, machine)
    kind, listed = parts.file("vlan/config", lambda raw, _: _config(raw)) or (None, Rows[Vlan]())
    undecoded = [one for bad in listed.undecoded for one in bad.incomplete]
    known = {one.interface: one for one in listed}
    for name in names:
        if name != "config":
            known.setdefault(name, Vlan(interface=name))
    found = [_with_counters(one, reading, machine) for one in known.values()]
    return Vlans(kind, found, [*parts.incomplete, *undecoded])


def _config(raw: bytes) -> tuple[str, Rows[Vlan]]:
    title, kind, *_ = [*lines(raw)[:2], b"", b""]
    if not title.startswith(b"VLAN Dev name") or not kind.startswith(b"Name-Type: "):
        raise expected("VLAN Dev name | VLAN ID", title)
    return decoded(kind.partition(b": ")[2]), rows(raw, _row, 2)


def _row(line: bytes) -> Vlan:
    match = matched(_CONFIG, line, "INTERFACE | ID | DEVICE")
    return Vlan(interface=decoded(match[1]), vlan_id=int(match[2]), device=decoded(match[3]))


def _with_counters(one: Vlan, reading: Reading, machine: Machine) -> Vlan:
    parts = Parts(reading, machine)
    found = parts.file(f"vlan/{one.interface}", lambda raw, _: _counted(raw))
    return structs.replace(one, **(found or {}), incomplete=parts.incomplete)


def _counted(raw: bytes) -> dict[str, Any]:
    """The fields in the file of one interface."""
    first, *rest = lines(raw)
    match = matched(_FIRST, first, "INTERFACE  VID: … REORDER_HDR: … dev->priv_flags: …")
    found: dict[str, Any] = {
        "vlan_id": int(match[2]),
        "reorder_header": {b"0": False, b"1": True}[match[3]],
        "priv_flags": f"0x{decoded(match[4])}",
    }
    extra: dict[str, str] = {}
    for line in filter(bytes.strip, rest):
        counted = _COUNTER.fullmatch(line)
        title, _, value = line.partition(b":")
        if counted and counted[1] in _COUNTERS:
            found[_COUNTERS[counted[1]]] = counter(counted[2])
        elif title == b"Device":
            found["device"] = decoded(value.strip())
        elif title.endswith(b"GRESS priority mappings"):
            way = title.split()[0].lower().decode("ascii")
            found[way] = {decoded(key): int(to) for key, to in _MAPPED.findall(value)}
            if odd := _MAPPED.sub(b"", value).strip():
                extra[way] = decoded(odd)
        else:
            extra[decoded(counted[1] if counted else title.strip())] = decoded(
                counted[2] if counted else value.strip()
            )
    return found | ({"extra": extra} if extra else {})
