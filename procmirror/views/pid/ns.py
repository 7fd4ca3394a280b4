"""/proc/PID/ns/: the namespaces of a process.

Source: namespaces(7), fs/proc/namespaces.c. Each a link with the text `type:[inode]`.

`pid_for_children` and `time_for_children` are those that the next child will enter. The link may be
read by who may trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import field

from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.table import matched
from procmirror.decoding.text import columns
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc

_LINK = re.compile(r"([a-z_]+):\[([0-9]{1,20})\]")


class Namespace(Record, frozen=True):
    """One namespace."""

    name: Annotated[str, doc("Name of the link")]
    type: Annotated[
        str | None,
        doc("Type of the namespace; null if the link may not be read or the process is gone"),
    ]
    inode: Annotated[int | None, doc("Its number, the same for all processes in it")]
    same: Annotated[
        bool | None, doc("Whether the requester is in the same one; null if that is not known")
    ]
    incomplete: Annotated[
        list[Incomplete], doc("Why the link could not be read or decoded; empty if it could")
    ] = field(default_factory=list)


def _namespace(name: str, reading: Reading, machine: Machine) -> Namespace:
    try:
        link = reading.link(f"ns/{name}")
        match = matched(_LINK, link, "TYPE:[NUMBER]")
    except (FileNotFoundError, ProcessLookupError):
        return Namespace(name, None, None, None)
    except (OSError, *SURPRISES) as failure:
        return Namespace(name, None, None, None, [Incomplete(name, why(failure))])
    own = machine.namespaces.get(match[1])
    return Namespace(name, match[1], int(match[2]), None if own is None else own == link)


def join(reading: Reading, machine: Machine) -> list[Namespace]:
    """The namespaces by name."""
    return [_namespace(name, reading, machine) for name in sorted(reading.names("ns"))]


def text(namespaces: Sequence[Namespace], _: Machine) -> str:
    """One namespace a line, those that the requester is not in first."""
    words = {True: "same as yours", False: "another than yours", None: "-"}
    order = {False: 0, None: 1, True: 2}
    rows = [
        (
            one.name,
            "-" if one.inode is None else one.inode,
            words[one.same] if one.inode is not None else "(not permitted)",
        )
        for one in sorted(namespaces, key=lambda one: order[one.same])
    ]
    return columns(rows, ("NAME", "INODE", "WHOSE"))
