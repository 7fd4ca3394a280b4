"""/proc/PID/oom_score_adj: what is added to the badness of a process.

Source: proc_pid_oom_score_adj(5), fs/proc/base.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.view import Machine, Record, doc


class OomScoreAdj(Record, frozen=True):
    """Inherited by children."""

    oom_score_adj: Annotated[
        int,
        doc("-1000 (never killed) to 1000 (killed first), in thousandths of the memory there is"),
    ]


def decode(raw: bytes, _: Machine) -> OomScoreAdj:
    """The one number."""
    return OomScoreAdj(int(raw))
