"""/proc/net/igmp: IPv4 multicast groups by interface.

Source: proc_pid_net(5), igmp_mc_seq_show in net/ipv4/igmp.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import ipv4, lines, surplus
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc


class Group(Record, frozen=True):
    """One group."""

    group: Annotated[str, doc("Its address")]
    users: Annotated[int, doc("How often it was joined")]
    timer: Annotated[
        float | None, doc("When a report will be sent, from now; null if none will", "seconds")
    ]
    reporter: Annotated[bool, doc("Whether this machine sent the last report")]
    extra: Extra = UNSET


class Interface(Record, frozen=True):
    """One interface."""

    idx: Annotated[int, doc("Its number")]
    device: Annotated[str, doc("Its name")]
    count: Annotated[int, doc("Groups joined on it")]
    querier: Annotated[str, doc("Version of IGMP that the querier speaks: `V1`, `V2`, `V3`")]
    groups: Annotated[list[Group], doc("The groups")]


def decode(raw: bytes, machine: Machine) -> list[Interface]:
    """The interfaces in the kernel's order; the lines of groups begin with a tab."""
    found: list[Interface] = []
    for line in lines(raw)[1:]:
        if line.startswith(b"\t"):
            found[-1].groups.append(_group(line.split(), machine))
        else:
            found.append(_interface(line))
    return found


def _interface(line: bytes) -> Interface:
    names, _, rest = line.partition(b":")
    idx, device = names.split()
    count, querier = rest.split()
    return Interface(int(idx), decoded(device), int(count), decoded(querier), [])


def _group(words: list[bytes], machine: Machine) -> Group:
    running, when = words[2].split(b":")
    return Group(
        group=ipv4(words[0]),
        users=int(words[1]),
        timer=int(when, 16) / machine.ticks if running == b"1" else None,
        reporter=words[3] != b"0",
        extra=surplus(words, 4),
    )
