"""/proc/net/bonding/: the bonds and their ports.

Source: drivers/net/bonding/bond_procfs.c, Documentation/networking/bonding.rst.

One joined view: each file is a bond. After the bond itself stands a block for each port, from
`Slave Interface:` on. Of LACP they tell more to who has CAP_NET_ADMIN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import UNSET, field

from procmirror.decoding.parts import Parts
from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import lines, number
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Incomplete, Machine, Reading, Record, counted, doc

_PORT, _RESELECT = "Slave Interface", "primary_reselect"
_PRIMARY = re.compile(r"(.*) \(primary_reselect (\w+)\)")
_NUMBER = re.compile(r"-?[0-9]+")


class Port(Record, frozen=True, kw_only=True):
    """One interface of a bond."""

    interface: Annotated[str, doc("Its name")]
    mii_status: Annotated[str | None, doc("`up`, `down`, `going down`, `going back`")] = None
    speed: Annotated[int | None, doc("Its speed in Mbit/s; null if it is not known")] = None
    duplex: Annotated[str | None, doc("`full` or `half`; null if it is not known")] = None
    link_failure_count: Annotated[int | None, counted("How often its link was lost")] = None
    permanent_address: Annotated[str | None, doc("Its own hardware address")] = None
    queue_id: Annotated[int | None, doc("The queue of the bond that is sent through it")] = None
    aggregator_id: Annotated[int | None, doc("Its aggregator (802.3ad)")] = None
    extra: Extra = UNSET


class Bond(Record, frozen=True, kw_only=True):
    """One bond."""

    interface: Annotated[str, doc("Its name")]
    mode: Annotated[str | None, doc("How it distributes and what it tolerates")] = None
    transmit_hash_policy: Annotated[str | None, doc("What decides the port of a packet")] = None
    primary: Annotated[str | None, doc("The port that is preferred; null without one")] = None
    primary_reselect: Annotated[
        str | None, doc("When it is preferred again: `always`, `better`, `failure`")
    ] = None
    active: Annotated[str | None, doc("The port that is used now; null without one")] = None
    mii_status: Annotated[str | None, doc("`up` or `down`")] = None
    mii_interval: Annotated[
        float | None, doc("How often the links are looked at; 0: not", "seconds")
    ] = None
    up_delay: Annotated[float | None, doc("How long a link is up before it is used", "seconds")] = (
        None
    )
    down_delay: Annotated[
        float | None, doc("How long a link is down before it is given up", "seconds")
    ] = None
    ports: Annotated[list[Port], doc("Its ports")] = field(default_factory=list)
    incomplete: Annotated[
        list[Incomplete], doc("Why the file could not be read or decoded; empty if it could")
    ] = field(default_factory=list)
    extra: Extra = UNSET


def _milliseconds(value: str) -> float:
    return number(value) / 1000


def _one(value: str) -> str | None:
    """A name; None for `None`."""
    return None if value == "None" else value


def _speed(value: str) -> int | None:
    found = _NUMBER.match(value)
    return number(found[0]) if found and not found[0].startswith("-") else None


def _known(value: str) -> str | None:
    return None if value == "Unknown" else value


def _aggregator(value: str) -> int | None:
    return None if value == "N/A" else number(value)


_BOND = {
    "Bonding Mode": ("mode", str),
    "Transmit Hash Policy": ("transmit_hash_policy", str),
    "Primary Slave": ("primary", _one),
    _RESELECT: ("primary_reselect", str),
    "Currently Active Slave": ("active", _one),
    "MII Status": ("mii_status", str),
    "MII Polling Interval (ms)": ("mii_interval", _milliseconds),
    "Up Delay (ms)": ("up_delay", _milliseconds),
    "Down Delay (ms)": ("down_delay", _milliseconds),
}
_PORTS = {
    "MII Status": ("mii_status", str),
    "Speed": ("speed", _speed),
    "Duplex": ("duplex", _known),
    "Link Failure Count": ("link_failure_count", number),
    "Permanent HW addr": ("permanent_address", str),
    "Slave queue ID": ("queue_id", number),
    "Aggregator ID": ("aggregator_id", _aggregator),
}


def join(reading: Reading, machine: Machine) -> Iterator[Bond]:
    """The bonds in the order of the directory."""
    return (_bond(name, reading, machine) for name in reading.names("bonding"))


def _bond(name: str, reading: Reading, machine: Machine) -> Bond:
    parts = Parts(reading, machine)
    found = parts.file(f"bonding/{name}", lambda raw, _: decode(raw, name))
    return found or Bond(interface=name, incomplete=parts.incomplete)


def decode(raw: bytes, interface: str) -> Bond:
    """One file; ValueError for what is no bond."""
    rows = [_row(line) for line in lines(raw) if line.strip()]
    starts = [at for at, (key, _) in enumerate(rows) if key == _PORT]
    ends = [*starts[1:], len(rows)][: len(starts)]
    head = rows[: starts[0]] if starts else rows
    head = [row for one in head for row in _reselected(*one)]
    if "Bonding Mode" not in dict(head):
        raise expected("Bonding Mode: …", raw)
    ports = [
        Port(interface=rows[at][1], **_fields(rows[at + 1 : end], _PORTS))
        for at, end in zip(starts, ends, strict=True)
    ]
    return Bond(interface=interface, ports=ports, **_fields(head, _BOND))


def _reselected(key: str, value: str) -> list[tuple[str, str]]:
    """The primary port, and when it is preferred again, which stands behind it in parentheses."""
    match = _PRIMARY.fullmatch(value) if key == "Primary Slave" else None
    return [(key, match[1]), (_RESELECT, match[2])] if match else [(key, value)]


def _row(line: bytes) -> tuple[str, str]:
    """The label and its value; a label that belongs to those above it keeps its indentation."""
    key, _, value = decoded(line.rstrip()).partition(":")
    return key, value.strip()


def _fields(rows: list[tuple[str, str]], known: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """The fields of some lines; lines that have none, and repeated ones, under `extra`."""
    found: dict[str, Any] = {}
    extra: dict[str, str] = {}
    title = ""
    for key, value in rows:
        name, read = known.get(key, ("", None))
        if read is not None and name not in found:
            try:
                found[name] = read(value)
            except ValueError:
                extra[name] = value
        elif key.startswith(("\t", " ")):
            extra[f"{title}{key.strip()}"] = value
        else:
            extra[key] = value
        if not value and not key.startswith(("\t", " ")):
            title = f"{key}: "
    return found | ({"extra": extra} if extra else {})
