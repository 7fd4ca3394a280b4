"""/proc/net/netlink: the netlink sockets of a network namespace.

Source: proc_pid_net(5), netlink_native_seq_show in af_netlink.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import counter, flags, hexadecimal
from procmirror.decoding.table import Row, table
from procmirror.decoding.text import columns, size
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.netlink import NETLINK_GROUPS, NETLINK_PROTOCOLS
from procmirror.views.net.inet import pointer


class Netlink(Record, frozen=True):
    """One netlink socket."""

    sk: Annotated[str | None, doc("Address of the socket, hashed; null where the kernel hides it")]
    eth: Annotated[str, doc("Protocol: `route`, `kobject_uevent`, or a number without a name here")]
    pid: Annotated[
        int,
        doc("Port: 0 is the kernel, the first socket of a process has its pid, others any number"),
    ]
    groups: Annotated[
        list[str],
        doc("Multicast groups it listens to, of the first 32; `0x…` for a bit without a name"),
    ]
    rmem: Annotated[int, doc("Received and not read", "bytes")]
    wmem: Annotated[int, doc("Sent and not read by the peer", "bytes")]
    dump: Annotated[bool, doc("Whether a dump is being read")]
    locks: Annotated[int, doc("References in the kernel")]
    drops: Annotated[
        int | None, counted("Messages lost because the queue was full; null before Linux 2.6.30")
    ]
    inode: Annotated[
        int | None,
        doc(
            "Inode, as in the link `socket:[inode]` of a descriptor, of the kernel's own sockets "
            "too; null before Linux 3.10"
        ),
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Netlink]:
    """The sockets in the kernel's order: by protocol."""
    return table(raw, "sk Eth Pid Groups", _netlink)


def _netlink(row: Row) -> Netlink:
    number = row("Eth", int)
    protocol = NETLINK_PROTOCOLS.get(number) or str(number)
    names = {1 << bit: name for bit, name in enumerate(NETLINK_GROUPS.get(protocol, ()))}
    return Netlink(
        sk=row("sk", pointer),
        eth=protocol,
        pid=row("Pid", int),
        groups=row("Groups", lambda mask: flags(hexadecimal(mask), names)),
        rmem=row("Rmem", counter),
        wmem=row("Wmem", counter),
        dump=row("Dump", lambda word: word not in {b"0", b"(null)"}),
        locks=row("Locks", int),
        drops=row.may("Drops", counter),
        inode=row.may("Inode", int),
        extra=row.extra(),
    )


def text(sockets: list[Netlink], _: Machine) -> str:
    """One socket a line, as `ss --netlink -a` has them, those of the kernel last."""
    rows = [
        (
            one.eth,
            one.pid or "kernel",
            size(one.rmem),
            size(one.wmem),
            "-" if one.drops is None else one.drops,
            "-" if one.inode is None else one.inode,
            " ".join(map(_short, one.groups)),
        )
        for one in sorted(sockets, key=lambda one: one.pid == 0)
    ]
    return columns(
        rows,
        ("PROTOCOL", "PORT", "RECV-Q", "SEND-Q", "DROPS", "INODE", "GROUPS"),
        right=(2, 3, 4, 5),
    )


def _short(group: str) -> str:
    return group.rpartition("NLGRP_")[2].lower()
