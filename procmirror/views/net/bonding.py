"""/proc/net/bonding/: the bonds and their ports.

Source: drivers/net/bonding/bond_procfs.c, Documentation/networking/bonding.rst.

One joined view: each file is a bond. After the bond itself stands a block for each port, from
`Slave Interface:` on. Of LACP they tell more to a requester with CAP_NET_ADMIN.
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
from procmirror.views.net import bonding_lacp as lacp

_PORT, _RESELECT = "Slave Interface", "primary_reselect"
_PRIMARY = re.compile(r"(.*) \(primary_reselect (\w+)\)")
_NUMBER = re.compile(r"-?[0-9]+")
# A label may have a colon of its own: `NS IPv6 target/s (xx::xx form):`.
_LINE = re.compile(r"(.*?):(?: +(.*))?")


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
    actor_churn_state: Annotated[
        str | None, doc("Whether it comes into step itself: `none`, `monitoring`, `churned`")
    ] = None
    partner_churn_state: Annotated[str | None, doc("Whether its partner does")] = None
    actor_churned_count: Annotated[int | None, counted("How often it did not")] = None
    partner_churned_count: Annotated[int | None, counted("How often its partner did not")] = None
    actor: Annotated[
        lacp.Pdu | None, doc("Its own side, told to requesters with CAP_NET_ADMIN")
    ] = None
    partner: Annotated[lacp.Pdu | None, doc("The side of its partner, told to the same")] = None
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
    peer_notification_delay: Annotated[
        float | None, doc("Time between notices to the peers after a change of port", "seconds")
    ] = None
    arp_interval: Annotated[
        float | None, doc("How often ARP asks; null if it does not look at links", "seconds")
    ] = None
    arp_missed_max: Annotated[
        int | None, doc("How many answers may be missing before a port is down")
    ] = None
    arp_ip_targets: Annotated[list[str] | None, doc("Whom ARP asks for")] = None
    ns_ipv6_targets: Annotated[list[str] | None, doc("Whom neighbour discovery asks for")] = None
    lacp: Annotated[lacp.Lacp | None, doc("LACP; null in another mode than 802.3ad")] = None
    version: Annotated[str | None, doc("Version of the driver")] = None
    ports: Annotated[list[Port], doc("Its ports")] = field(default_factory=list)
    incomplete: Annotated[
        list[Incomplete], doc("Why the file could not be read or decoded; empty if it could")
    ] = field(default_factory=list)
    extra: Extra = UNSET


def _milliseconds(value: str) -> float:
    return number(value) / 1000


def _listed(value: str) -> list[str]:
    return value.split(", ") if value else []


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


_BOND: lacp.Known = {
    "Ethernet Channel Bonding Driver": ("version", str),
    "Bonding Mode": ("mode", str),
    "Transmit Hash Policy": ("transmit_hash_policy", str),
    "Primary Slave": ("primary", _one),
    _RESELECT: ("primary_reselect", str),
    "Currently Active Slave": ("active", _one),
    "MII Status": ("mii_status", str),
    "MII Polling Interval (ms)": ("mii_interval", _milliseconds),
    "Up Delay (ms)": ("up_delay", _milliseconds),
    "Down Delay (ms)": ("down_delay", _milliseconds),
    "Peer Notification Delay (ms)": ("peer_notification_delay", _milliseconds),
    "ARP Polling Interval (ms)": ("arp_interval", _milliseconds),
    "ARP Missed Max": ("arp_missed_max", number),
    "ARP IP target/s (n.n.n.n form)": ("arp_ip_targets", _listed),
    "NS IPv6 target/s (xx::xx form)": ("ns_ipv6_targets", _listed),
    **lacp.OF_BOND,
}
_PORTS: lacp.Known = {
    "MII Status": ("mii_status", str),
    "Speed": ("speed", _speed),
    "Duplex": ("duplex", _known),
    "Link Failure Count": ("link_failure_count", number),
    "Permanent HW addr": ("permanent_address", str),
    "Slave queue ID": ("queue_id", number),
    "Aggregator ID": ("aggregator_id", _aggregator),
    "Actor Churn State": ("actor_churn_state", str),
    "Partner Churn State": ("partner_churn_state", str),
    "Actor Churned Count": ("actor_churned_count", number),
    "Partner Churned Count": ("partner_churned_count", number),
    **lacp.OF_PORT,
}
# Records within these records.
_OF_BOND: dict[str, type[Record]] = {"lacp": lacp.Lacp}
_OF_PORT: dict[str, type[Record]] = {"actor": lacp.Pdu, "partner": lacp.Pdu}


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
        Port(interface=rows[at][1], **lacp.nested(_fields(rows[at + 1 : end], _PORTS), _OF_PORT))
        for at, end in zip(starts, ends, strict=True)
    ]
    return Bond(interface=interface, ports=ports, **lacp.nested(_fields(head, _BOND), _OF_BOND))


def _reselected(key: str, value: str) -> list[tuple[str, str]]:
    """The primary port, and when it is preferred again, which stands behind it in parentheses."""
    match = _PRIMARY.fullmatch(value) if key == "Primary Slave" else None
    return [(key, match[1]), (_RESELECT, match[2])] if match else [(key, value)]


def _row(line: bytes) -> tuple[str, str]:
    """The label and its value; a label that belongs to those above it keeps its indentation."""
    text = decoded(line.rstrip())
    match = _LINE.fullmatch(text)
    return (match[1], (match[2] or "").strip()) if match else (text, "")


def _fields(rows: list[tuple[str, str]], known: lacp.Known) -> dict[str, Any]:
    """The fields of some lines; lines that have none, and repeated ones, under `extra`."""
    found: dict[str, Any] = {}
    extra: dict[str, str] = {}
    title = ""
    for label, value in rows:
        is_below = label.startswith(("\t", " "))
        key = f"{title}{label.strip()}" if is_below else label
        name, read = known.get(key, (key, None))
        if read is None or name in found:
            if key not in lacp.TITLES or value:
                extra[key] = value
        else:
            try:
                found[name] = read(value)
            except ValueError:
                extra[name] = value
        if not value and not is_below:
            title = f"{key}: "
    return found | ({"extra": extra} if extra else {})
