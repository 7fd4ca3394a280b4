"""/proc/net/ip_vs: the services of the IP virtual server.

Source: ip_vs_info_seq_show in net/netfilter/ipvs/ip_vs_ctl.c, ipvsadm(8).

IPv4 addresses, netmasks and ports are hexadecimal numbers in network order, IPv6 addresses in
brackets.
"""

from __future__ import annotations

import re
from socket import AF_INET, inet_ntop
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.byte_order import byte_order
from procmirror.decoding.reasons import SURPRISES, expected
from procmirror.decoding.shapes import extra_by_position, hexadecimal, ipv6, lines, number
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Server(Record, frozen=True):
    """One real server."""

    address: Annotated[str, doc("Its address")]
    port: Annotated[int, doc("Its port")]
    forward: Annotated[str, doc("How packets get there: `Masq`, `Tunnel`, `Route`, `Local`")]
    weight: Annotated[int, doc("Its weight; 0 gets no new connections")]
    active_conn: Annotated[int, doc("Connections that are established")]
    in_act_conn: Annotated[int, doc("Other connections")]
    extra: Extra = UNSET


class Service(Record, frozen=True):
    """One virtual service: an address with a port, or a mark of the firewall."""

    prot: Annotated[str, doc("`TCP`, `UDP`, `SCTP`; `FWM` for a mark")]
    address: Annotated[str | None, doc("Its address; null for a mark")]
    port: Annotated[int | None, doc("Its port; null for a mark")]
    fwmark: Annotated[int | None, doc("The mark")]
    scheduler: Annotated[str, doc("Who chooses the server: `rr`, `wlc`, …, `none`")]
    flags: Annotated[list[str], doc("`ops`: each packet by itself")]
    persistent_jiffies: Annotated[
        int | None,
        doc(
            "How long a client stays with its server, null: not; in ticks whose length the kernel "
            "does not tell"
        ),
    ]
    netmask: Annotated[
        str | None,
        doc("Which clients count as one for that: a mask, a prefix length; of a mark as printed"),
    ]
    servers: Annotated[list[Server], doc("The real servers")]


class Ipvs(Record, frozen=True):
    """The file."""

    version: Annotated[str | None, doc("Version of IPVS")]
    size: Annotated[int | None, doc("Size of the hash table of connections, in entries")]
    services: Annotated[list[Service], doc("The services")]
    lines: Annotated[list[str], doc("Lines that could not be decoded")]


def decode(raw: bytes, _: Machine) -> Ipvs:
    """The services, each with the servers on the lines below it."""
    title, *body = lines(raw)
    head = _TITLE.fullmatch(title)
    services: list[Service] = []
    odd: list[str] = [] if head else [decoded(title)]
    above: list[Service] = []
    for line in body:
        try:
            above = [_added(services, above, line)]
        except SURPRISES:
            above = [] if not line.startswith(_SERVER) else above
            odd += [decoded(line)] if line.strip() not in _HEADERS else []
    if not head and not services:
        raise expected("IP Virtual Server version … (size=…)", title)
    version, size = (decoded(head[1]), number(head[2])) if head else (None, None)
    return Ipvs(version, size, services, odd)


_TITLE = re.compile(rb"IP Virtual Server version (.*) \(size=(\d{1,19})\)")


_HEADERS = {
    b"Prot LocalAddress:Port Scheduler Flags",
    b"-> RemoteAddress:Port Forward Weight ActiveConn InActConn",
}


_SERVER = b"  -> "


def _added(services: list[Service], above: list[Service], line: bytes) -> Service:
    """The service of a line, or that above it with the server of the line."""
    if line.startswith(_SERVER):
        above[0].servers.append(_server(line.split()[1:]))
        return above[0]
    services.append(_service(line.split()))
    return services[-1]


def _service(words: list[bytes]) -> Service:
    marked = words[0] == b"FWM"
    address, port = (None, None) if marked else endpoint(words[1])
    rest = words[3:]
    at = rest.index(b"persistent") if b"persistent" in rest else len(rest)
    return Service(
        prot=decoded(words[0]),
        address=address,
        port=port,
        fwmark=hexadecimal(words[1]) if marked else None,
        scheduler=decoded(words[2]),
        flags=[decoded(word) for word in rest[:at]],
        persistent_jiffies=number(rest[at + 1]) if rest[at:] else None,
        netmask=_netmask(rest[at + 2], address) if rest[at:] else None,
        servers=[],
    )


def _server(words: list[bytes]) -> Server:
    address, port = endpoint(words[0])
    weight, active, inactive = map(number, words[2:5])
    return Server(
        address, port, decoded(words[1]), weight, active, inactive, extra_by_position(words, 5)
    )


def endpoint(word: bytes) -> tuple[str, int]:
    """`C0A80001:0050` or `[2001:…]:0050` as an address and a port."""
    digits, _, port = word.rpartition(b":")
    if digits.startswith(b"["):
        return ipv6(digits[1:-1].replace(b":", b"")), hexadecimal(port)
    return _dotted(digits), hexadecimal(port)


def _dotted(digits: bytes) -> str:
    return inet_ntop(AF_INET, hexadecimal(digits).to_bytes(4, "big"))


def _netmask(digits: bytes, address: str | None) -> str:
    """The mask of IPv4.

    Of IPv6 the length of the prefix, a number of the host that the kernel turns as if it were a
    mask.
    """
    if address is None:
        return f"0x{hexadecimal(digits):08x}"
    if ":" in address:
        return f"/{int.from_bytes(hexadecimal(digits).to_bytes(4, 'big'), byte_order())}"
    return _dotted(digits)
