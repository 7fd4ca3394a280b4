"""/proc/net/raw and raw6: raw IP sockets (proc_pid_net(5), net/ipv4/raw.c, net/ipv6/raw.c).

Where the others have their own port the kernel prints the protocol of a raw socket.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.text import columns
from procmirror.decoding.view import Machine, doc
from procmirror.kernel.protocols import IP_PROTOCOLS
from procmirror.views.net import inet, udp


class Raw(udp.Datagram, frozen=True, kw_only=True):
    """One raw socket."""

    protocol: Annotated[
        str,
        doc(
            "IP protocol: `icmp`, `ospf`, or a number without a name here; `raw` takes any and "
            "gets none"
        ),
    ]


def decode(raw: bytes, machine: Machine) -> list[Raw]:
    """The sockets in the kernel's order."""
    return inet.rows(raw, lambda words: _raw(words, machine))


def _raw(words: list[bytes], machine: Machine) -> Raw:
    fields = udp.fields(words, machine)
    number, fields["local_port"] = fields["local_port"], None
    return Raw(**fields, protocol=IP_PROTOCOLS.get(number) or str(number))


def text(sockets: list[Raw], _: Machine) -> str:
    """One socket a line, as `ss -wan` has them: the protocol stands for the port."""
    rows = [
        (*inet.cells(one, one.protocol), "-" if one.drops is None else one.drops) for one in sockets
    ]
    return columns(rows, (*inet.HEADER, "DROPS"), right=(1, 2, 7))
