"""/proc/net/snmp6: the IPv6 counters of the network namespace.

Source: net/ipv6/proc.c, RFC 4293 defines those that it took over.

`Icmp6InType135` and the like exist from the first message of their type on; `…Octets` are bytes.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import Count, counters
from procmirror.decoding.view import Machine, doc

Counters = Annotated[
    dict[str, Count],
    doc("By the kernel's names; `…Octets` are bytes, the others packets or events"),
]


def decode(raw: bytes, _: Machine) -> dict[str, int | str]:
    """The counters in the kernel's order."""
    return counters(raw)
