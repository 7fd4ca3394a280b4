"""What /proc/net/bonding/ tells of LACP (802.3ad): lines with their places in the record of a bond.

Source: drivers/net/bonding/bond_procfs.c.

Lines that are indented belong to the title above them, which stands before their label here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import flags, number
from procmirror.decoding.view import Record, doc
from procmirror.kernel.network import LACP_STATES

# A line: the field that it fills (`lacp.rate`: of a record within the record), and how it is read.
Known = dict[str, tuple[str, Callable[[str], Any]]]
_AGGREGATOR = "Active Aggregator Info"
_PDUS = {"actor": "details actor lacp pdu", "partner": "details partner lacp pdu"}
TITLES = frozenset({"802.3ad info", _AGGREGATOR, *_PDUS.values()})


class Lacp(Record, frozen=True, kw_only=True):
    """What a bond does by LACP, and its aggregator that is used now."""

    active: Annotated[bool | None, doc("Whether it sends messages unasked")] = None
    rate: Annotated[str | None, doc("How often it asks its partner to send: `slow`, `fast`")] = None
    min_links: Annotated[int | None, doc("How many links it takes for the bond to be up")] = None
    selection: Annotated[
        str | None, doc("What decides the aggregator: `stable`, `bandwidth`, `count`, …")
    ] = None
    system_priority: Annotated[int | None, doc("Its priority as a system")] = None
    system_mac_address: Annotated[str | None, doc("Its address as a system")] = None
    aggregator_id: Annotated[int | None, doc("The aggregator that is used")] = None
    ports: Annotated[int | None, doc("How many ports that has")] = None
    actor_key: Annotated[int | None, doc("Its own key")] = None
    partner_key: Annotated[int | None, doc("The key of its partner")] = None
    partner_mac_address: Annotated[str | None, doc("The address of its partner")] = None


class Pdu(Record, frozen=True, kw_only=True):
    """One side of a port, as LACP messages tell it."""

    system_priority: Annotated[int | None, doc("Priority of the system")] = None
    system_mac_address: Annotated[str | None, doc("Address of the system")] = None
    key: Annotated[int | None, doc("Key: ports with the same may be aggregated")] = None
    port_priority: Annotated[int | None, doc("Priority of the port")] = None
    port_number: Annotated[int | None, doc("Number of the port")] = None
    port_state: Annotated[list[str] | None, doc("What it does, LACP_STATE_*")] = None


def _switched(value: str) -> bool:
    if value not in {"on", "off"}:
        raise expected("on or off", value)
    return value == "on"


def _states(value: str) -> list[str]:
    return flags(number(value), LACP_STATES)


OF_BOND: Known = {
    "LACP active": ("lacp.active", _switched),
    "LACP rate": ("lacp.rate", str),
    "Min links": ("lacp.min_links", number),
    "Aggregator selection policy (ad_select)": ("lacp.selection", str),
    "System priority": ("lacp.system_priority", number),
    "System MAC address": ("lacp.system_mac_address", str),
    f"{_AGGREGATOR}: Aggregator ID": ("lacp.aggregator_id", number),
    f"{_AGGREGATOR}: Number of ports": ("lacp.ports", number),
    f"{_AGGREGATOR}: Actor Key": ("lacp.actor_key", number),
    f"{_AGGREGATOR}: Partner Key": ("lacp.partner_key", number),
    f"{_AGGREGATOR}: Partner Mac Address": ("lacp.partner_mac_address", str),
}
_OF_SIDE: Known = {
    "system priority": ("system_priority", number),
    "system mac address": ("system_mac_address", str),
    "port key": ("key", number),
    "oper key": ("key", number),
    "port priority": ("port_priority", number),
    "port number": ("port_number", number),
    "port state": ("port_state", _states),
}
OF_PORT: Known = {
    f"{title}: {label}": (f"{side}.{name}", read)
    for side, title in _PDUS.items()
    for label, (name, read) in _OF_SIDE.items()
}


def nested(found: dict[str, Any], records: dict[str, type[Record]]) -> dict[str, Any]:
    """The fields of some lines, those of each record within it made into that record."""
    plain = {name: value for name, value in found.items() if "." not in name}
    for place, record in records.items():
        within = {
            name.removeprefix(f"{place}."): value
            for name, value in found.items()
            if name.startswith(f"{place}.")
        }
        if within:
            plain[place] = record(**within)
    return plain
