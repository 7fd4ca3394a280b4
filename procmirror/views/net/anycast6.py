"""/proc/net/anycast6: IPv6 anycast addresses by interface (ac6_seq_show in net/ipv6/anycast.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import ipv6
from procmirror.decoding.table import Row, headless
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Anycast(Record, frozen=True):
    """One address on one interface."""

    idx: Annotated[int, doc("Number of the interface")]
    device: Annotated[str, doc("Name of the interface")]
    address: Annotated[str, doc("The address")]
    users: Annotated[int, doc("How often it was joined")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Anycast]:
    """The addresses in the kernel's order: by interface."""
    return headless(raw, "idx device address users", _anycast)


def _anycast(row: Row) -> Anycast:
    return Anycast(
        row("idx", int),
        row("device", decoded),
        row("address", ipv6),
        row("users", int),
        row.extra(),
    )
