"""/proc/PID/comm: the command name of a thread, raw, and a newline.

Source: proc_pid_comm(5), comm_show in fs/proc/base.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Comm(Record, frozen=True):
    """The name; a newline inside it is its own."""

    comm: Annotated[str, doc("Command name: at most 15 bytes, of kernel threads up to 63")]


def decode(raw: bytes, _: Machine) -> Comm:
    """The name without the kernel's newline."""
    return Comm(decoded(raw.removesuffix(b"\n")))
