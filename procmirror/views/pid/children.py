"""/proc/PID/task/TID/children: the child processes of a thread.

Source: proc_pid_task(5), children_seq_show in fs/proc/array.c.

Only exact while all of them stand still: a child that ends during reading may take its successor
with it.
"""

from __future__ import annotations

from procmirror.decoding.view import Machine


def decode(raw: bytes, _: Machine) -> list[int]:
    """The process ids, which a blank ends."""
    return [int(word) for word in raw.split()]
