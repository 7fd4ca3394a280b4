"""/proc/PID/uid_map: the user ids of a process's user namespace.

Source: user_namespaces(7), uid_m_show in kernel/user_namespace.c.

Three numbers a line; the second is an id of the *requester's* user namespace, or of the parent for
a reader in the same one. Empty as long as nobody wrote the map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from procmirror.decoding.table import rows
from procmirror.decoding.text import columns
from procmirror.decoding.view import Machine, Record, doc


class Range(Record, frozen=True):
    """Consecutive ids."""

    inside: Annotated[int, doc("First id in the user namespace")]
    outside: Annotated[int, doc("The id that it is to the requester")]
    count: Annotated[int, doc("How many ids follow each other")]
    outside_name: Annotated[
        str | None, doc("Name of `outside`, where the range is one id and has a name")
    ] = None


def ranges(raw: bytes, names: Mapping[int, str]) -> list[Range]:
    """The rows of a map whose ids have these names outside."""

    def made(line: bytes) -> Range:
        inside, outside, count = map(int, line.split())
        return Range(inside, outside, count, names.get(outside) if count == 1 else None)

    return rows(raw, made)


def decode(raw: bytes, machine: Machine) -> list[Range]:
    """The rows of the map."""
    return ranges(raw, machine.users)


def text(mapped: list[Range], _: Machine) -> str:
    """Which ids inside are which outside."""
    cells = [(_span(row.inside, row.count), _named(row)) for row in mapped]
    return columns(cells, header=("INSIDE", "OUTSIDE")) if cells else "nothing is mapped\n"


def _span(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def _named(row: Range) -> str:
    span = _span(row.outside, row.count)
    return f"{span} ({row.outside_name})" if row.outside_name else span
