"""/proc/net/netfilter/nf_log: which logger takes the packets of a family.

Source: seq_show in net/netfilter/nf_log.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.reasons import expected
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.kernel.sockets import NETFILTER_FAMILIES


class Family(Record, frozen=True):
    """One family of protocols."""

    pf: Annotated[str, doc("The family: `ipv4`, `bridge`, or a number without a name here")]
    logger: Annotated[str | None, doc("The logger that is bound; null for none")]
    loggers: Annotated[list[str], doc("Those that could be")]


def decode(raw: bytes, _: Machine) -> list[Family]:
    """The families in the kernel's order."""
    return rows(raw, _family)


def _family(line: bytes) -> Family:
    number, logger, available = line.split(None, 2)
    if not (available.startswith(b"(") and available.endswith(b")")):
        raise expected("a list of loggers in parentheses", available)
    return Family(
        pf=NETFILTER_FAMILIES.get(int(number)) or str(int(number)),
        logger=None if logger == b"NONE" else decoded(logger),
        loggers=[decoded(name) for name in available[1:-1].split(b",") if name],
    )
