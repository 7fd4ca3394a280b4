"""/proc/cgroups: the controllers that the kernel has.

Source: proc_cgroups(5), kernel/cgroup/cgroup-v1.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.listing import listing
from procmirror.decoding.table import Row, table
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class Controller(Record, frozen=True):
    """One controller."""

    subsys_name: Annotated[str, doc("Its name")]
    hierarchy: Annotated[
        int, doc("Number of its hierarchy; 0 if it is on the unified one (version 2) or on none")
    ]
    num_cgroups: Annotated[int, doc("Cgroups in that hierarchy")]
    enabled: Annotated[bool, doc("Not switched off by cgroup_disable=")]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> list[Controller]:
    """The lines after the header."""
    return table(raw, "#subsys_name hierarchy", _controller)


def _controller(row: Row) -> Controller:
    return Controller(
        row("#subsys_name", decoded),
        row("hierarchy", int),
        row("num_cgroups", int),
        row("enabled", lambda word: word != b"0"),
        row.extra(),
    )


text = listing(
    "CONTROLLER subsys_name",
    "HIERARCHY hierarchy number",
    "CGROUPS num_cgroups number",
    "ENABLED enabled",
    none="no controllers\n",
)
