"""/proc/net/if_inet6: the IPv6 addresses of a network namespace.

Source: if6_seq_show, net/ipv6/addrconf.c, proc_pid_net(5).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import flags, hexadecimal, ipv6
from procmirror.decoding.table import Row, headless
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.network import ADDRESS_FLAGS, ADDRESS_SCOPES


class Address(Record, frozen=True):
    """One address of one interface."""

    address: Annotated[str, doc("The IPv6 address")]
    ifindex: Annotated[int, doc("Number of the interface")]
    prefix_length: Annotated[int, doc("Length of the prefix that is on the link", "bits")]
    scope: Annotated[
        str,
        doc("`global`, `link`, `host`, `site` or `compatv4`; as `0x…` where it has no name here"),
    ]
    flags: Annotated[list[str], doc("IFA_F_*, the lower eight bits: the kernel prints no more")]
    device: Annotated[str, doc("Name of the interface")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Address]:
    """One address a line."""
    return headless(raw, "address ifindex prefix_length scope flags device", _address)


def _address(row: Row) -> Address:
    return Address(
        row("address", ipv6),
        row("ifindex", hexadecimal),
        row("prefix_length", hexadecimal),
        row("scope", lambda word: ADDRESS_SCOPES.get(hexadecimal(word)) or hex(hexadecimal(word))),
        row("flags", lambda word: flags(hexadecimal(word), ADDRESS_FLAGS)),
        row("device", decoded),
        row.extra(),
    )


def text(addresses: list[Address], _: Machine) -> str:
    """One address a line, the interfaces in their order."""
    rows = [
        (
            one.device,
            f"{one.address}/{one.prefix_length}",
            one.scope,
            " ".join(map(_word, one.flags)),
        )
        for one in sorted(addresses, key=lambda one: one.ifindex)
    ]
    return columns(rows, ("DEVICE", "ADDRESS", "SCOPE", "FLAGS"))


def _word(flag: str) -> str:
    return flag.removeprefix("IFA_F_").lower()
