"""/proc/PID/patch_state: where the task stands while a live patch is applied.

Source: Documentation/livepatch/livepatch.rst.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.view import Machine, Record, doc

# KLP_TRANSITION_* in include/linux/livepatch.h
_STATES = {-1: "no transition", 0: "unpatched", 1: "patched"}


class PatchState(Record, frozen=True):
    """Which code the task runs."""

    patch_state: Annotated[
        str, doc("`unpatched` or `patched` while a transition goes on, else `no transition`")
    ]


def decode(raw: bytes, _: Machine) -> PatchState:
    """The one number; one without a name stays a number."""
    number = int(raw)
    return PatchState(_STATES.get(number, str(number)))
