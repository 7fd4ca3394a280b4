"""/proc/net/dev_mcast: multicast addresses of the link layer.

Source: proc_pid_net(5), dev_mc_seq_show in net/core/net-procfs.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import lines, surplus
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc


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
    return [_address(line.split()) for line in lines(raw)]


def _address(words: list[bytes]) -> LinkAddress:
    digits = decoded(words[4]) if len(words) > 4 else ""
    return LinkAddress(
        idx=int(words[0]),
        device=decoded(words[1]),
        users=int(words[2]),
        gusers=int(words[3]),
        address=bytes.fromhex(digits).hex(":") or None,
        extra=surplus(words, 5),
    )
