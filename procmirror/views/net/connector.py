"""/proc/net/connector: who listens to the kernel's connector.

Source: proc_pid_net(5), drivers/connector/connector.c.

Only the first network namespace has it.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.table import columns_of, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Callback(Record, frozen=True):
    """One callback."""

    name: Annotated[
        str, doc("Name it was registered with; `cn_proc` reports forks, execs and exits")
    ]
    idx: Annotated[int, doc("First half of its identifier")]
    val: Annotated[int, doc("Second half of its identifier")]


def decode(raw: bytes, _: Machine) -> list[Callback]:
    """The callbacks in the kernel's order."""
    columns_of(raw, "Name ID")
    return rows(raw, _callback, 1)


def _callback(line: bytes) -> Callback:
    name, identifier = line.rsplit(None, 1)
    idx, val = identifier.split(b":")
    return Callback(decoded(name), int(idx), int(val))
