"""/proc/PID/ns/: the namespaces of a process.

Source: namespaces(7), fs/proc/namespaces.c. Each a link with the text `type:[inode]`.

`pid_for_children` and `time_for_children` are those that the next child will enter. The link may be
read by a requester that may trace the process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import field

from procmirror.decoding.reasons import SURPRISES, refusal, why
from procmirror.decoding.table import matched
from procmirror.decoding.text import columns
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc

_OF_CHILDREN = frozenset({"pid_for_children", "time_for_children"})
_LINK = re.compile(r"([a-z_]+):\[([0-9]{1,20})\]")


class Namespace(Record, frozen=True):
    """One namespace."""

    name: Annotated[str, doc("Name of the link")]
    type: Annotated[
        str | None,
        doc(
            "Type of the namespace; null if the link may not be read, the process has ended, or no "
            "child is in its `pid_for_children` yet"
        ),
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
    has_ended = any(_is_left(one) for one in namespaces if one.name not in _OF_CHILDREN)
    rows = [
        (
            one.name,
            "-" if one.inode is None else one.inode,
            words[one.same] if one.inode is not None else _missing(one, has_ended=has_ended),
        )
        for one in sorted(namespaces, key=lambda one: order[one.same])
    ]
    return columns(rows, ("NAME", "INODE", "WHOSE"))


def _is_left(one: Namespace) -> bool:
    """Whether the kernel says that there is none; it has not refused to tell."""
    return one.inode is None and not one.incomplete


def _missing(one: Namespace, *, has_ended: bool) -> str:
    """Why there is no number.

    A zombie has left all but its pid and user namespace. A pid namespace for children is none
    before the first of them is in it (pid_namespaces(7)).
    """
    if not _is_left(one):
        return f"({', '.join(refusal(part.reason) for part in one.incomplete)})"
    return "none: the process has ended" if has_ended else "none before the first child"
