"""/proc/PID/projid_map: the project ids of a process's user namespace, in the format of uid_map.

Source: user_namespaces(7).
"""

from __future__ import annotations

from procmirror.decoding.view import Machine
from procmirror.views.pid.uid_map import Range, ranges

__all__ = ["Range", "decode"]


def decode(raw: bytes, _: Machine) -> list[Range]:
    """The rows of the map; project ids have no names."""
    return ranges(raw, {})
