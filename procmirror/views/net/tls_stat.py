"""/proc/net/tls_stat: TLS done by the kernel.

Source: net/tls/tls_proc.c. Since 5.5, where the module is loaded.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.shapes import Count, counters, gauges
from procmirror.decoding.view import Machine, doc

Counters = Annotated[
    dict[str, Count],
    gauges("^TlsCurr"),
    doc(
        "`TlsCurr…`: sessions open now, by direction and by who encrypts; the others: how often "
        "since the boot"
    ),
]


def decode(raw: bytes, _: Machine) -> dict[str, int | str]:
    """The counters under the kernel's names."""
    return counters(raw)
