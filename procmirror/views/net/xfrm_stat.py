"""/proc/net/xfrm_stat: what IPsec did to packets.

Source: net/xfrm/xfrm_proc.c, xfrm_proc.rst of the kernel. Since 2.6.25.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import Count, counters
from procmirror.decoding.view import Machine, doc

Counters = Annotated[
    dict[str, Count], doc("Packets by the reason that the counter's name gives", "packets")
]


def decode(raw: bytes, _: Machine) -> dict[str, int | str]:
    """The counters under the kernel's names."""
    return counters(raw)
