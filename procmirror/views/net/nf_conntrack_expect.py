"""/proc/net/nf_conntrack_expect: connections that netfilter expects beside others.

Source: exp_seq_show in net/netfilter/nf_conntrack_expect.c.

A helper (`ftp`, `sip`, `h323`) reads in a connection that another one will follow, and lets it
through as related.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, field

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import number, record_with_extra
from procmirror.decoding.table import Rows, rows
from procmirror.decoding.text import columns, decoded, duration
from procmirror.decoding.view import Extra, Machine, Record, doc
from procmirror.kernel.protocols import IP_PROTOCOLS
from procmirror.views.net.nf_conntrack import address

_FAMILIES = {2: "ipv4", 10: "ipv6"}
_FLAGS = {"PERMANENT", "INACTIVE", "USERSPACE"}


class Expectation(Record, frozen=True):
    """One connection that is expected."""

    timeout: Annotated[
        int | None, doc("When it is given up, from now; null without a limit", "seconds")
    ]
    l3proto: Annotated[str | None, doc("`ipv4` or `ipv6`; null for another family")]
    l3num: Annotated[int, doc("Number of that family")]
    l4proto: Annotated[str | None, doc("`tcp`, `udp`, …; null for one without a name here")]
    protonum: Annotated[int, doc("Number of that protocol")]
    src: Annotated[str | None, doc("Address of the sender")] = None
    dst: Annotated[str | None, doc("Address of the receiver")] = None
    sport: Annotated[int | None, doc("Port of the sender; 0 is any")] = None
    dport: Annotated[int | None, doc("Port of the receiver")] = None
    flags: Annotated[
        list[str], doc("`PERMANENT`: for many connections; `INACTIVE`; `USERSPACE`: of a program")
    ] = field(default_factory=list)
    helper: Annotated[
        str | None,
        doc("Who expects it, with its kind: `ftp`, `sip/rtp`; null without a helper"),
    ] = None
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> Rows[Expectation]:
    """The expected connections in the kernel's order."""
    return rows(raw, lambda line: _expectation(decoded(line).split()))


def _expectation(words: list[str]) -> Expectation:
    timeout, name, equals, family, *rest = words
    if (name, equals) != ("l3proto", "="):
        raise expected("TIMEOUT l3proto = NUMBER", " ".join(words))
    pairs: dict[str, Any] = dict(word.split("=", 1) for word in rest if "=" in word)
    protocol = number(pairs.pop("proto"))
    flags, helper = _ending([word for word in rest if "=" not in word])
    ends = {name: address(word) for name, word in pairs.items() if name in {"src", "dst"}}
    named = {
        "timeout": None if timeout == "-" else number(timeout),
        "l3num": number(family),
        "l3proto": _FAMILIES.get(number(family)),
        "protonum": protocol,
        "l4proto": IP_PROTOCOLS.get(protocol),
        "flags": flags,
        "helper": helper,
    }
    return record_with_extra(Expectation, pairs | ends | named)


def _ending(words: list[str]) -> tuple[list[str], str | None]:
    """The flags and the helper, which is what is left of the line behind them."""
    flags = words.pop(0).split(",") if words and _FLAGS.intersection(words[0].split(",")) else []
    return flags, " ".join(words) or None


def text(expectations: list[Expectation], _: Machine) -> str:
    """One connection a line, the helper and the flags last."""
    rows = [
        (
            one.l4proto or one.protonum,
            one.src,
            "-" if one.sport is None else one.sport,
            one.dst,
            "-" if one.dport is None else one.dport,
            duration(one.timeout),
            " ".join(filter(None, (one.helper, *one.flags))),
        )
        for one in expectations
    ]
    header = ("PROTOCOL", "SOURCE", "PORT", "DESTINATION", "PORT", "EXPIRES", "HELPER")
    return columns(rows, header, right=(2, 4, 5)) if rows else "no connections are expected\n"
