"""/proc/PID/oom_adj: oom_score_adj on the scale used before Linux 2.6.36.

Source: proc_pid_oom_adj(5), fs/proc/base.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.view import Machine, Record, doc


class OomAdj(Record, frozen=True):
    """Kept by the kernel for old programs."""

    oom_adj: Annotated[int, doc("-17 (never killed) to 15 (killed first)")]


def decode(raw: bytes, _: Machine) -> OomAdj:
    """The one number."""
    return OomAdj(int(raw))
