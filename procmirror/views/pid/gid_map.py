"""/proc/PID/gid_map: the group ids of a process's user namespace, in the format of uid_map.

Source: user_namespaces(7).
"""

from __future__ import annotations

from procmirror.decoding.view import Machine
from procmirror.views.pid.uid_map import Range, ranges, text

__all__ = ["Range", "decode", "text"]


def decode(raw: bytes, machine: Machine) -> list[Range]:
    """The rows of the map."""
    return ranges(raw, machine.groups)
