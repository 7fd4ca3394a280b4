"""/proc/PID/setgroups: whether setgroups(2) works in the user namespace of a process.

Source: user_namespaces(7).
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Setgroups(Record, frozen=True):
    """`deny` is forever."""

    setgroups: Annotated[
        str, doc("Whether setgroups(2) works in the user namespace: `allow` or `deny`")
    ]


def decode(raw: bytes, _: Machine) -> Setgroups:
    """Whether setgroups(2) is allowed: the one word of the file."""
    return Setgroups(decoded(raw.strip()))
