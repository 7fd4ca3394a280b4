"""/proc/PID/oom_score: how soon the process is killed when memory is short.

Source: proc_pid_oom_score(5), mm/oom_kill.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.view import Machine, Record, doc


class OomScore(Record, frozen=True):
    """0: never; the highest of all processes goes first."""

    oom_score: Annotated[
        int,
        doc(
            "Badness: about 2/3 of (1000 + oom_score_adj + memory in thousandths); before 5.9 0 to "
            "1000"
        ),
    ]


def decode(raw: bytes, _: Machine) -> OomScore:
    """The one number."""
    return OomScore(int(raw))
