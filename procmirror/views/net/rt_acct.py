"""/proc/net/rt_acct: traffic by routing realm, binary.

Source: struct ip_rt_acct of include/net/route.h, net/ipv4/route.c.

256 times four 32-bit counters in the machine's byte order, summed over the CPUs; of the whole
machine, whatever the network namespace. A realm is what `ip route … realm` gives to routes
(CONFIG_IP_ROUTE_CLASSID).
"""

from __future__ import annotations

import struct
from typing import Annotated

from procmirror.decoding.view import Machine, Record, counted, doc

_COUNTERS = {"little": struct.Struct("<4I"), "big": struct.Struct(">4I")}


class Realm(Record, frozen=True):
    """One realm; the counters wrap at 2^32."""

    realm: Annotated[int, doc("Number of the realm; 0 for routes without one")]
    o_bytes: Annotated[int, counted("Sent", "bytes")]
    o_packets: Annotated[int, counted("Sent", "packets")]
    i_bytes: Annotated[int, counted("Received", "bytes")]
    i_packets: Annotated[int, counted("Received", "packets")]


def decode(raw: bytes, machine: Machine) -> list[Realm]:
    """The realms that counted anything."""
    shape = _COUNTERS[machine.byte_order]
    if len(raw) % shape.size:
        raise ValueError(f"expected a multiple of {shape.size} bytes, found {len(raw)}")
    return [
        Realm(number, *counters)
        for number, counters in enumerate(shape.iter_unpack(raw))
        if any(counters)
    ]
