"""/proc/net/ip_vs_conn: the connections of the IP virtual server.

Source: ip_vs_conn_seq_show in net/netfilter/ipvs/ip_vs_conn.c, `ipvsadm -Lcn`.

IPv4 addresses and ports are hexadecimal numbers in network order; IPv6 addresses are printed with
colons and in full. The destination may be of the other family.
"""

from __future__ import annotations

from socket import AF_INET, inet_ntop
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import extra_by_position, hexadecimal, ipv6
from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Connection(Record, frozen=True):
    """One connection."""

    pro: Annotated[str, doc("`TCP`, `UDP`, `SCTP`, …")]
    from_address: Annotated[str, doc("Address of the client")]
    from_port: Annotated[int, doc("Its port")]
    to_address: Annotated[str, doc("Address of the virtual service")]
    to_port: Annotated[int, doc("Its port")]
    dest_address: Annotated[str, doc("Address of the real server")]
    dest_port: Annotated[int, doc("Its port")]
    state: Annotated[str, doc("State, as IPVS names those of the protocol")]
    expires: Annotated[int, doc("When it is forgotten without a packet", "seconds")]
    pe_name: Annotated[str | None, doc("The persistence engine (`sip`); null without one")] = None
    pe_data: Annotated[str | None, doc("What the engine knows it by")] = None
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Connection]:
    """The connections in the order of the table."""
    columns_of(raw, "Pro FromIP FPrt ToIP TPrt DestIP DPrt State Expires")
    return rows(raw, lambda line: _connection(line.split()), 1)


def _connection(words: list[bytes]) -> Connection:
    pro, source, sport, target, tport, dest, dport, state, expires, *engine = words
    return Connection(
        decoded(pro),
        _address(source),
        hexadecimal(sport),
        _address(target),
        hexadecimal(tport),
        _address(dest),
        hexadecimal(dport),
        decoded(state),
        int(expires),
        decoded(engine[0]) if engine else None,
        decoded(engine[1]) if engine[1:] else None,
        extra_by_position(words, 11),
    )


def _address(word: bytes) -> str:
    digits = word.strip(b"[]")
    if b":" in digits:
        return ipv6(digits.replace(b":", b""))
    return inet_ntop(AF_INET, hexadecimal(digits).to_bytes(4, "big"))
