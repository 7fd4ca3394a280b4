"""/proc/net/nf_conntrack: the connections that netfilter tracks.

Source: ct_seq_show in net/netfilter/nf_conntrack_standalone.c.

The table can have hundreds of thousands of rows, so it is streamed. Accounting, marks, security
contexts, zones and times are there if the kernel was told to keep them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import ipv6, number, record_with_extra
from procmirror.decoding.table import each
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Reading, Record, Undecoded, counted, doc


class Tuple(Record, frozen=True):
    """One direction."""

    src: Annotated[str, doc("Address of the sender")]
    dst: Annotated[str, doc("Address of the receiver")]
    sport: Annotated[int | None, doc("Port of the sender")] = None
    dport: Annotated[int | None, doc("Port of the receiver")] = None
    type: Annotated[int | None, doc("Type of an ICMP message")] = None
    code: Annotated[int | None, doc("Code of an ICMP message")] = None
    id: Annotated[int | None, doc("Identifier of an ICMP message")] = None
    srckey: Annotated[str | None, doc("Key of GRE")] = None
    dstkey: Annotated[str | None, doc("Key of GRE the other way")] = None
    packets: Annotated[int | None, counted("Packets seen")] = None
    bytes: Annotated[int | None, counted("Bytes seen, with IP headers", "bytes")] = None


# What the kernel prints with a hyphen.
_HYPHENS = {"delta_time": "delta-time", "zone_orig": "zone-orig", "zone_reply": "zone-reply"}


class Connection(Record, frozen=True, rename=_HYPHENS):
    """One connection."""

    l3proto: Annotated[str, doc("`ipv4` or `ipv6`")]
    l3num: Annotated[int, doc("Number of that family")]
    l4proto: Annotated[str, doc("`tcp`, `udp`, …, `unknown`")]
    protonum: Annotated[int, doc("Number of that protocol")]
    timeout: Annotated[
        int | None, doc("When it is forgotten, from now; null if a flow table keeps it", "seconds")
    ]
    state: Annotated[str | None, doc("State of a TCP, SCTP or DCCP connection")]
    flags: Annotated[list[str], doc("`UNREPLIED`, `ASSURED`, `OFFLOAD`, `HW_OFFLOAD`")]
    original: Annotated[Tuple, doc("As the first packet went")]
    reply: Annotated[
        Tuple, doc("As answers come: other addresses than in `original` are those of NAT")
    ]
    mark: Annotated[int | None, doc("Mark")] = None
    secctx: Annotated[str | None, doc("Security context")] = None
    zone: Annotated[int | None, doc("Zone of both directions")] = None
    zone_orig: Annotated[int | None, doc("Zone of `original` alone")] = None
    zone_reply: Annotated[int | None, doc("Zone of `reply` alone")] = None
    gre_timeout: Annotated[
        int | None, doc("Of GRE: how long it is kept before it is answered", "seconds")
    ] = None
    gre_stream_timeout: Annotated[
        int | None, doc("Of GRE: how long it is kept after an answer", "seconds")
    ] = None
    delta_time: Annotated[int | None, doc("Age", "seconds")] = None
    use: Annotated[int | None, doc("References in the kernel")] = None
    extra: Extra = UNSET


# gre_print_conntrack (nf_conntrack_proto_gre.c) prints the first under the name of a column.
_OF_GRE = {"timeout": "gre_timeout", "stream_timeout": "gre_stream_timeout"}


def join(reading: Reading, _: Machine) -> Iterator[Connection | Undecoded]:
    """The connections in the kernel's order."""
    return each(reading.lines("nf_conntrack"), lambda line: _connection(line.split()))


def _connection(words: list[bytes]) -> Connection:
    l3proto, l3num, l4proto, protonum, *rest = words
    timeout = number(rest.pop(0)) if rest[0].lstrip(b"-").isdigit() else None
    state = decoded(rest.pop(0)) if b"=" not in rest[0] and not rest[0].startswith(b"[") else None
    tuples, others = _pairs(word for word in rest if not word.startswith(b"["))
    original, reply = tuples
    named = {
        "l3proto": decoded(l3proto),
        "l3num": number(l3num),
        "l4proto": decoded(l4proto),
        "protonum": number(protonum),
        "timeout": timeout,
        "state": state,
        "flags": [decoded(word[1:-1]) for word in rest if word.startswith(b"[")],
        "original": original,
        "reply": reply,
    }
    return record_with_extra(Connection, {**others, **named})


def _pairs(words: Iterator[bytes]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The `key=value` of both directions, each from `src` on, and of the connection."""
    tuples: list[dict[str, Any]] = []
    others: dict[str, str] = {}
    for word in words:
        key, _, value = decoded(word).partition("=")
        if key == "src":
            tuples.append({})
        if key in {"src", "dst"}:
            tuples[-1][key] = address(value)
        elif tuples and key in Tuple.__struct_fields__:
            tuples[-1][key] = value
        else:
            others[_OF_GRE.get(key, key)] = value.rstrip(",")
    return tuples, others


def address(text: str) -> str:
    """An address; IPv6 is printed in full, `%pI6`."""
    return ipv6(text.replace(":", "").encode()) if ":" in text else text


text = listing(
    "PROTOCOL l4proto",
    "STATE state",
    "SOURCE original.src",
    "PORT original.sport number",
    "DESTINATION original.dst",
    "PORT original.dport number",
    "BYTES original.bytes bytes",
    "REPLY-BYTES reply.bytes bytes",
    "EXPIRES timeout seconds",
    "FLAGS flags",
    none="no connections\n",
)
