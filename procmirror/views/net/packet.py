"""/proc/net/packet: the packet sockets of a network namespace.

Source: proc_pid_net(5), packet_seq_show in net/packet/af_packet.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import counter, hexadecimal
from procmirror.decoding.table import Row, table
from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.protocols import ETHERTYPES
from procmirror.kernel.sockets import TYPES
from procmirror.views.net.inet import pointer


class Packet(Record, frozen=True):
    """One packet socket."""

    sk: Annotated[str | None, doc("Address of the socket, hashed; null where the kernel hides it")]
    ref_cnt: Annotated[int, doc("References in the kernel")]
    type: Annotated[
        str,
        doc("`raw` with link-layer header, `dgram` without, `packet` of the obsolete SOCK_PACKET"),
    ]
    proto: Annotated[
        str | None, doc("What it receives, ETH_P_*; `0x…` without a name here, null: nothing")
    ]
    iface: Annotated[int | None, doc("Number of the interface; null for any")]
    r: Annotated[bool, doc("Whether it runs, that is: receives")]
    rmem: Annotated[int, doc("Received and not read", "bytes")]
    uid: Annotated[int, doc("Owner")]
    user: Annotated[str | None, doc("Name of the owner")]
    inode: Annotated[int | None, doc("Inode, as in the link `socket:[inode]` of a descriptor")]
    extra: Extra = UNSET


def decode(raw: bytes, machine: Machine) -> list[Packet]:
    """The sockets in the kernel's order."""
    return table(raw, "sk RefCnt Type", lambda row: _packet(row, machine))


def _packet(row: Row, machine: Machine) -> Packet:
    kind, uid = row("Type", int), row("User", int)
    return Packet(
        sk=row("sk", pointer),
        ref_cnt=row("RefCnt", int),
        type=TYPES.get(kind) or str(kind),
        proto=row("Proto", ethertype),
        iface=row("Iface", int) or None,
        r=row("R", int) != 0,
        rmem=row("Rmem", counter),
        uid=uid,
        user=machine.users.get(uid),
        inode=row.may("Inode", int),
        extra=row.extra(),
    )


def ethertype(digits: bytes) -> str | None:
    """The name of a protocol that the kernel printed in hexadecimal; null for 0."""
    number = hexadecimal(digits)
    return (ETHERTYPES.get(number) or f"0x{number:04x}") if number else None


def text(sockets: list[Packet], _: Machine) -> str:
    """One socket a line, as `ss -0a` has them."""
    rows = [
        (
            "running" if one.r else "stopped",
            one.type,
            size(one.rmem),
            short(one),
            one.iface or "any",
            one.user or one.uid,
            one.inode,
        )
        for one in sockets
    ]
    return columns(
        rows, ("STATE", "TYPE", "RECV-Q", "PROTOCOL", "INTERFACE", "USER", "INODE"), right=(2,)
    )


def short(packet: Packet) -> str:
    """What it receives, in a word: `all`, `ip`, `-`."""
    return (packet.proto or "-").removeprefix("ETH_P_").lower()
