"""/proc/PID/cgroup: the control groups, one line a hierarchy.

Source: cgroups(7), proc_cgroup_show in kernel/cgroup/cgroup.c.

`number:controllers:path`; the unified hierarchy (version 2) is `0::path`. The path is relative to
the requester's cgroup namespace (`/..` is outside) and ends in ` (deleted)` when the group is gone;
it may hold colons, the controllers may not.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from procmirror.decoding.listing import listing
from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Cgroup(Record, frozen=True):
    """One hierarchy."""

    hierarchy: Annotated[int, doc("Its number as in /proc/cgroups; 0: version 2")]
    controllers: Annotated[
        tuple[str, ...], doc("Its controllers, or `name=…` of one without; empty for version 2")
    ]
    path: Annotated[str, doc("The group, as the kernel writes it")]


def decode(raw: bytes, _: Machine) -> list[Cgroup]:
    """The lines in their order."""
    return rows(raw, _cgroup)


# Processes are in groups so that there are fewer of these.
@lru_cache(1024)
def _cgroup(line: bytes) -> Cgroup:
    number, controllers, path = line.split(b":", 2)
    return Cgroup(
        int(number), tuple(decoded(controllers).split(",")) if controllers else (), decoded(path)
    )


text = listing(
    "HIERARCHY hierarchy number", "CONTROLLERS controllers", "PATH path", none="no cgroups\n"
)
