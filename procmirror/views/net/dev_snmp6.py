"""/proc/net/dev_snmp6/*: the IPv6 counters of each interface.

Source: net/ipv6/proc.c. One joined view, for the names are data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import field

from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.shapes import Count, counters
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc


class Interface(Record, frozen=True):
    """One interface; null for values that vanished while the directory was read."""

    interface: Annotated[str, doc("Name of the interface")]
    ifIndex: Annotated[int | None, doc("Its number")]
    counters: Annotated[
        dict[str, Count] | None,
        doc(
            "The counters under the kernel's names; `…Octets` are bytes, the others packets or "
            "events"
        ),
    ]
    incomplete: Annotated[
        list[Incomplete], doc("Why its file could not be read or decoded; empty if it could")
    ] = field(default_factory=list)


def join(reading: Reading, _: Machine) -> Iterator[Interface]:
    """The interfaces in the order of the directory."""
    return (_interface(reading, name) for name in reading.names("dev_snmp6"))


def _interface(reading: Reading, name: str) -> Interface:
    try:
        found = counters(reading.read(f"dev_snmp6/{name}"))
    except (FileNotFoundError, ProcessLookupError):
        return Interface(name, None, None)
    except (OSError, *SURPRISES) as failure:
        return Interface(name, None, None, [Incomplete(f"dev_snmp6/{name}", why(failure))])
    number = found.get("ifIndex")
    if not isinstance(number, int):
        return Interface(name, None, found)
    del found["ifIndex"]
    return Interface(name, number, found)
