"""/proc/net/arp: the IPv4 neighbours of a network namespace.

Source: arp_seq_show, net/ipv4/arp.c, proc_pid_net(5).

Neighbours on links without ARP are left out by the kernel. The hardware address has as many bytes
as the link's addresses, none on some; a proxy entry (`ATF_PUBL`) has one of zeros, and the device
`*` if it holds for all.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import extra_by_position, flags, hexadecimal
from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.network import ARP_FLAGS, HARDWARE_TYPES


class Neighbour(Record, frozen=True):
    """One neighbour."""

    ip_address: Annotated[str, doc("Its IPv4 address")]
    hw_type: Annotated[
        str | None,
        doc("Type of the link (ARPHRD_* without the prefix, else `0x…`); null without a device"),
    ]
    flags: Annotated[
        list[str],
        doc(
            "ATF_COM: hardware address known; ATF_PERM: set by hand; ATF_PUBL: answered as a proxy"
        ),
    ]
    hw_address: Annotated[str | None, doc("Hardware address; null on links without")]
    mask: Annotated[str, doc("Always `*` since Linux 2.2")]
    device: Annotated[str, doc("Interface; `*` for a proxy entry of all")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Neighbour]:
    """The lines after the header, whose names of columns have blanks."""
    columns_of(raw, "IP address HW type Flags HW address Mask Device")
    return rows(raw, lambda line: _neighbour(line.split()), 1)


def _neighbour(words: list[bytes]) -> Neighbour:
    star = words.index(b"*", 3)
    address, hardware, mask = (decoded(word) for word in words[:3])
    number, device = hexadecimal(hardware), decoded(words[star + 1])
    return Neighbour(
        address,
        None if device == "*" else HARDWARE_TYPES.get(number) or hex(number),
        flags(hexadecimal(mask), ARP_FLAGS),
        decoded(words[3]) if star > 3 else None,
        decoded(words[star]),
        device,
        extra_by_position([*words[:3], b"", *words[star:]], 6),
    )


def text(neighbours: list[Neighbour], _: Machine) -> str:
    """One neighbour a line."""
    rows = [
        (one.ip_address, one.device, one.hw_type or "-", one.hw_address or "-", _state(one.flags))
        for one in neighbours
    ]
    return columns(rows, ("ADDRESS", "DEVICE", "TYPE", "HARDWARE", "STATE"))


def _state(names: list[str]) -> str:
    if "ATF_PUBL" in names:
        return "proxy"
    if "ATF_COM" not in names:
        return "incomplete"
    return "permanent" if "ATF_PERM" in names else "complete"
