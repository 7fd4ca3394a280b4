"""/proc/net/netlink: the netlink sockets of a network namespace.

Source: proc_pid_net(5), netlink_native_seq_show in af_netlink.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import flags, lines, surplus
from procmirror.decode.text import columns, size
from procmirror.decode.view import Extra, Machine, Record, doc
from procmirror.kernel.sockets import NETLINK_GROUPS, NETLINK_PROTOCOLS
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
    drops: Annotated[int, doc("Messages lost because the queue was full")]
    inode: Annotated[
        int,
        doc(
            "Inode, as in the link `socket:[inode]` of a descriptor; the kernel's own have one too"
        ),
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Netlink]:
    """The sockets in the kernel's order: by protocol."""
    header, *body = lines(raw)
    if header.split()[:2] != [b"sk", b"Eth"]:
        raise ValueError(f"unknown header {header[:40]!r}")
    return [_netlink(line.split()) for line in body]


def _netlink(words: list[bytes]) -> Netlink:
    number = int(words[1])
    protocol = NETLINK_PROTOCOLS.get(number) or str(number)
    names = {1 << bit: name for bit, name in enumerate(NETLINK_GROUPS.get(protocol, ()))}
    return Netlink(
        sk=pointer(words[0]),
        eth=protocol,
        pid=int(words[2]),
        groups=flags(int(words[3], 16), names),
        rmem=int(words[4]),
        wmem=int(words[5]),
        dump=int(words[6]) != 0,
        locks=int(words[7]),
        drops=int(words[8]),
        inode=int(words[9]),
        extra=surplus(words, 10),
    )


def text(sockets: list[Netlink], _: Machine) -> str:
    """One socket a line, as `ss --netlink -a` has them, those of the kernel last."""
    rows = [
        (
            one.eth,
            one.pid or "kernel",
            size(one.rmem),
            size(one.wmem),
            one.drops,
            one.inode,
            " ".join(map(_short, one.groups)),
        )
        for one in sorted(sockets, key=lambda one: one.pid == 0)
    ]
    return columns(
        rows,
        ("Protocol", "Port", "Recv-Q", "Send-Q", "Drops", "Inode", "Groups"),
        right=(2, 3, 4, 5),
    )


def _short(group: str) -> str:
    return group.rpartition("NLGRP_")[2].lower()
