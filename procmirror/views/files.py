"""files: every use of a file by every process that the requester may see, one compact object each.

Source: /proc/PID/fd/, fdinfo/, cwd, root, exe and maps of each process (lsof(8), fuser(1)).

A file is used by a descriptor, as working directory, as root directory, as program, or by a
mapping. A mapped file counts once for a process, however many mappings it has. What the kernel does
not let the requester read of a process is named in a line of its own.
"""

from __future__ import annotations

from procmirror.decoding.shares import Shares
from procmirror.decoding.view import Each, Machine, Reading
from procmirror.views.pid.files import uses


def join(reading: Reading, machine: Machine) -> Each:
    """The processes in the order of their numbers."""
    numbers = [name for name in reading.names(".") if name.isdecimal()]
    shares = Shares()
    return Each(
        numbers,
        lambda number: list(uses(f"{number}/", reading, machine, shares)) or None,
        ("status", "maps"),
        ("cwd", "root", "exe"),
    )
