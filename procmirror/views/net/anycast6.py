"""/proc/net/anycast6: IPv6 anycast addresses by interface (ac6_seq_show in net/ipv6/anycast.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import ipv6, lines, surplus
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc


class Anycast(Record, frozen=True):
    """One address on one interface."""

    idx: Annotated[int, doc("Number of the interface")]
    device: Annotated[str, doc("Name of the interface")]
    address: Annotated[str, doc("The address")]
    users: Annotated[int, doc("How often it was joined")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Anycast]:
    """The addresses in the kernel's order: by interface."""
    return [_anycast(line.split()) for line in lines(raw)]


def _anycast(words: list[bytes]) -> Anycast:
    return Anycast(
        int(words[0]), decoded(words[1]), ipv6(words[2]), int(words[3]), surplus(words, 4)
    )
