"""/proc/net/ip_mr_vif and ip6_mr_vif: the interfaces of multicast routing, of the default table.

Source: ipmr_vif_seq_show in net/ipv4/ipmr.c, ip6mr_vif_seq_show in net/ipv6/ip6mr.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.shapes import counter, flags, hexadecimal, ipv4, number
from procmirror.decoding.table import Row, Rows, columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.network import MIF_FLAGS, VIF_FLAGS


class Vif(Record, frozen=True):
    """One interface of multicast routing."""

    vif: Annotated[int, doc("Its number in multicast routing, as in ip_mr_cache and ip6_mr_cache")]
    interface: Annotated[str | None, doc("Name of the interface; null if it is gone")]
    bytes_in: Annotated[int, counted("Multicast that arrived on it", "bytes")]
    pkts_in: Annotated[int, counted("The same in packets")]
    bytes_out: Annotated[int, counted("Multicast that was forwarded to it", "bytes")]
    pkts_out: Annotated[int, counted("The same in packets")]
    flags: Annotated[
        list[str], doc("VIFF_* or MIFF_*: `…_REGISTER` is the interface of PIM, `pimreg`")
    ]
    local: Annotated[
        str | None,
        doc("Address by which the router named it; null if by a number, of `pimreg`, and in IPv6"),
    ]
    ifindex: Annotated[
        int | None,
        doc("Number of the interface by which the router named it (`VIFF_USE_IFINDEX`), or null"),
    ]
    remote: Annotated[str | None, doc("Other end of a tunnel (`VIFF_TUNNEL`); null without")]
    extra: Extra = UNSET


_NAMES = ("vif", "interface", "bytes_in", "pkts_in", "bytes_out", "pkts_out", "flags")
_NAMES_4 = (*_NAMES, "local", "remote")


def decode(raw: bytes, _: Machine) -> Rows[Vif]:
    """The interfaces by their numbers."""
    if "Local" in columns_of(raw, "Interface BytesIn"):
        return rows(raw, lambda line: _vif(Row(_NAMES_4, line.split()), VIF_FLAGS), 1)
    return rows(raw, lambda line: _vif(Row(_NAMES, line.split()), MIF_FLAGS), 1)


def _vif(row: Row, known: Mapping[int, str]) -> Vif:
    names = row("flags", lambda word: flags(hexadecimal(word), known))
    by_number = "VIFF_USE_IFINDEX" in names
    local = row.may("local", hexadecimal if by_number else _address)
    remote = row.may("remote", ipv4)
    name = row("interface", decoded)
    return Vif(
        vif=row("vif", number),
        interface=None if name == "none" else name,
        bytes_in=row("bytes_in", counter),
        pkts_in=row("pkts_in", counter),
        bytes_out=row("bytes_out", counter),
        pkts_out=row("pkts_out", counter),
        flags=names,
        local=local if isinstance(local, str) else None,
        ifindex=local if isinstance(local, int) else None,
        remote=remote if "VIFF_TUNNEL" in names else None,
        extra=row.extra(),
    )


def _address(digits: bytes) -> str | None:
    return ipv4(digits) if hexadecimal(digits) else None


text = listing(
    "VIF vif number",
    "INTERFACE interface",
    "IN bytes_in bytes",
    "PACKETS pkts_in number",
    "OUT bytes_out bytes",
    "PACKETS pkts_out number",
    "LOCAL local",
    "REMOTE remote",
    "FLAGS flags",
    none="no interfaces\n",
)
