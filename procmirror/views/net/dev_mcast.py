"""/proc/net/dev_mcast: multicast addresses of the link layer.

Source: proc_pid_net(5), dev_mc_seq_show in net/core/net-procfs.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.table import Row, headless
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class LinkAddress(Record, frozen=True):
    """One address on one interface."""

    idx: Annotated[int, doc("Number of the interface")]
    device: Annotated[str, doc("Name of the interface")]
    users: Annotated[int, doc("How often it was added")]
    gusers: Annotated[int, doc("Whether it was added for all, by the user, too")]
    address: Annotated[
        str | None,
        doc("The address in the link's notation, `33:33:00:00:00:01`; null on links without"),
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[LinkAddress]:
    """The addresses in the kernel's order: by interface."""
    return headless(raw, "idx device users gusers address", _address)


def _address(row: Row) -> LinkAddress:
    return LinkAddress(
        idx=row("idx", int),
        device=row("device", decoded),
        users=row("users", int),
        gusers=row("gusers", int),
        address=row.may("address", lambda digits: bytes.fromhex(decoded(digits)).hex(":")),
        extra=row.extra(),
    )


text = listing("DEVICE device", "USERS users number", "ADDRESS address", none="no addresses\n")
