"""/proc/PID/ksm_merging_pages: pages that KSM merged.

Source: Documentation/admin-guide/mm/ksm.rst. Since Linux 5.19.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.view import Machine, Record, doc


class KsmMergingPages(Record, frozen=True):
    """The one count."""

    ksm_merging_pages: Annotated[
        int | None, doc("Pages of the process that it shares with equal ones; null without memory")
    ]


def decode(raw: bytes, _: Machine) -> KsmMergingPages:
    """The number; the file of a kernel thread or a zombie is empty."""
    return KsmMergingPages(int(raw) if raw else None)
