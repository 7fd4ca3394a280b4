"""/proc/PID/arch_status: what only one architecture has; on x86 the last use of AVX-512.

Source: arch/x86/kernel/fpu/xstate.c.

A hint, not a measure: it is noted at context switches only. Empty for kernel threads.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.shapes import pairs
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, doc


class ArchStatus(Record, frozen=True):
    """The one known line, and those of other kernels."""

    AVX512_elapsed: Annotated[
        float | None,
        doc("Time since AVX-512 was last seen in use (AVX512_elapsed_ms); null: never", "seconds"),
    ]
    extra: Extra = UNSET


def decode(raw: bytes, _: Machine) -> ArchStatus:
    """The lines; -1 says that it was not seen yet."""
    values = {key: decoded(value) for key, value in pairs(raw)}
    elapsed = int(values.pop("AVX512_elapsed_ms", -1))
    return ArchStatus(None if elapsed < 0 else elapsed / 1000, values or UNSET)
