"""/proc/net/ptype: the handlers of received packets.

Source: proc_pid_net(5), ptype_seq_show in net/core/net-procfs.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.views.net.packet import ethertype


class Handler(Record, frozen=True):
    """One handler."""

    type: Annotated[
        str | None, doc("Packets it is given, ETH_P_*; `0x…` for a type without a name here")
    ]
    device: Annotated[str | None, doc("The only interface it listens to; null for all")]
    function: Annotated[str, doc("Function of the kernel that takes them")]
    module: Annotated[str | None, doc("Its module; null if built in")]


def decode(raw: bytes, _: Machine) -> list[Handler]:
    """The handlers in the kernel's order."""
    columns_of(raw, "Type Device Function")
    return rows(raw, _handler, 1)


def _handler(line: bytes) -> Handler:
    kind, names = line[:4], line[5:].split()
    device = decoded(names.pop(0)) if line[5:6].strip() else None
    function, *module = (decoded(name) for name in names)
    return Handler(
        type="ETH_P_ALL" if kind == b"ALL " else ethertype(kind),
        device=device,
        function=function,
        module=module[0].strip("[]") if module else None,
    )
