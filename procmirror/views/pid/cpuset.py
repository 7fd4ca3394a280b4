"""/proc/PID/cpuset: the cpuset a process is in.

Source: cpuset(7), proc_cpuset_show in kernel/cgroup/cpuset-v1.c.
"""

from __future__ import annotations

from typing import Annotated

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Record, doc


class Cpuset(Record, frozen=True):
    """A directory below the root of the cpuset hierarchy."""

    cpuset: Annotated[str, doc("The path, relative to the requester's cgroup namespace")]


def decode(raw: bytes, _: Machine) -> Cpuset:
    """The path of the one line."""
    return Cpuset(decoded(raw.removesuffix(b"\n")))
