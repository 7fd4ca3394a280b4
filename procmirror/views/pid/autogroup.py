"""/proc/PID/autogroup: the session's scheduling group and its nice value.

Source: sched(7), kernel/sched/autogroup.c.

Empty without a group: kernel threads, and while autogrouping is off.
"""

from __future__ import annotations

import re
from typing import Annotated

from procmirror.decoding.table import matched
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc

_LINE = re.compile(rb"(/autogroup-\d+) nice (-?\d{1,3})\n?")


class Autogroup(Record, frozen=True):
    """The group competes with other sessions as one process of its nice value would."""

    autogroup: Annotated[str | None, doc("Name of the group; null without one")]
    nice: Annotated[
        int | None, doc("Nice value of the whole group, -20 to 19; null without a group")
    ]


def decode(raw: bytes, _: Machine) -> Autogroup:
    """The one line."""
    if not raw:
        return Autogroup(None, None)
    match = matched(_LINE, raw.rstrip(b"\n"), "/autogroup-NUMBER nice NUMBER")
    return Autogroup(decoded(match[1]), int(match[2]))
