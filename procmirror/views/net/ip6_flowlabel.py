"""/proc/net/ip6_flowlabel: IPv6 flow labels in use (ip6fl_seq_show in net/ipv6/ip6_flowlabel.c)."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import hexadecimal, ipv6
from procmirror.decoding.table import Row, table
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.sockets import FLOW_LABEL_SHARES


class FlowLabel(Record, frozen=True):
    """One label."""

    label: Annotated[str, doc("The label, 20 bits, as `0x12345`")]
    s: Annotated[
        str,
        doc(
            "Who may use it: `excl` one socket, `process`, `user`, `any`; a number without a name "
            "here"
        ),
    ]
    owner: Annotated[
        int | None, doc("The pid for `process`, the uid for `user`, null for `excl` and `any`")
    ]
    users: Annotated[int, doc("Sockets that use it")]
    linger: Annotated[int, doc("How long it stays after its last use", "seconds")]
    expires: Annotated[
        int, doc("When it may be given up, from now; below 0 while it is still in use", "seconds")
    ]
    dst: Annotated[str, doc("Destination it holds for")]
    opt: Annotated[int, doc("Length of the extension headers that go with it", "bytes")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[FlowLabel]:
    """The labels in the kernel's order."""
    return table(raw, "Label S Owner", _label)


def _label(row: Row) -> FlowLabel:
    number = row("S", int)
    share = FLOW_LABEL_SHARES.get(number) or str(number)
    owner = row("Owner", int)
    return FlowLabel(
        label=f"0x{row('Label', hexadecimal):05x}",
        s=share,
        owner=None if share in {"excl", "any"} else owner,
        users=row("Users", int),
        linger=row("Linger", int),
        expires=row("Expires", int),
        dst=row("Dst", ipv6),
        opt=row("Opt", int),
        extra=row.extra(),
    )
