"""/proc/PID/seccomp_cache: system calls that a seccomp filter always allows.

Source: kernel/seccomp.c, CONFIG_SECCOMP_CACHE_DEBUG.

For each architecture all numbers in order; empty without a filter. Only CAP_SYS_ADMIN may read it.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.table import rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc
from procmirror.stack.calls import named, table


class CachedCall(Record, frozen=True):
    """One system call."""

    arch: Annotated[str, doc("Architecture, as the kernel names it here")]
    number: Annotated[int, doc("Number of the call")]
    name: Annotated[str | None, doc("Its name; null for a number without one")]
    status: Annotated[
        str,
        doc("`ALLOW`: allowed without running the filter; `FILTER`: the filter decides each time"),
    ]


def decode(raw: bytes, _: Machine) -> list[CachedCall]:
    """The calls, line by line."""
    return rows(raw, lambda line: _call(line.split()))


def _call(words: list[bytes]) -> CachedCall:
    arch, number, status = decoded(words[0]), int(words[1]), decoded(words[2])
    return CachedCall(arch, number, named(number, table(arch)), status)
