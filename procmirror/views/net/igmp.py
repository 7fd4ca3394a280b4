"""/proc/net/igmp: IPv4 multicast groups by interface.

Source: proc_pid_net(5), igmp_mc_seq_show in net/ipv4/igmp.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import hexadecimal, ipv4, number
from procmirror.decoding.table import Row, columns_of, rows
from procmirror.decoding.text import columns, decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


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
    columns_of(raw, "Idx Device")
    found: list[Interface] = []

    def take(line: bytes) -> Interface | None:
        if not line.startswith((b"\t", b"  ")):
            found.clear()  # what stands below an odd line is of no interface
            found.append(_interface(line))
            return found[-1]
        if not found:
            raise expected("an interface above it", line)
        row = Row(("group", "users", "timer", "reporter"), line.split())
        found[-1].groups.append(_group(row, machine))
        return None

    return rows(raw, take, 1).only(Interface)


def _interface(line: bytes) -> Interface:
    names, _, rest = line.partition(b":")
    idx, device = names.split()
    count, querier = rest.split()
    return Interface(number(idx), decoded(device), number(count), decoded(querier), [])


def _group(row: Row, machine: Machine) -> Group:
    running, when = row("timer", lambda word: word.split(b":"))
    return Group(
        group=row("group", ipv4),
        users=row("users", number),
        timer=hexadecimal(when) / machine.ticks if running == b"1" else None,
        reporter=row("reporter", lambda word: word != b"0"),
        extra=row.extra(),
    )


def text(interfaces: list[Interface], _: Machine) -> str:
    """The groups that each interface has joined."""
    rows = [
        (one.device, group.group, group.users, one.querier)
        for one in interfaces
        for group in one.groups
    ]
    header = ("DEVICE", "GROUP", "USERS", "QUERIER")
    return columns(rows, header, right=(2,)) if rows else "no groups\n"
