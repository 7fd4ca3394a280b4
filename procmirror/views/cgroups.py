"""/proc/cgroups: the controllers that the kernel has.

Source: proc_cgroups(5), kernel/cgroup/cgroup-v1.c.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decode.shapes import lines, surplus
from procmirror.decode.text import decoded
from procmirror.decode.view import Extra, Machine, Record, doc


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
    return [_controller(line.split()) for line in lines(raw)[1:]]


def _controller(words: list[bytes]) -> Controller:
    name, hierarchy, cgroups, enabled = words[:4]
    return Controller(
        decoded(name), int(hierarchy), int(cgroups), enabled != b"0", surplus(words, 4)
    )
