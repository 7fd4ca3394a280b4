"""PID/tree: a process and all processes below it, as `tree` has them.

Source: /proc/PID/status and cmdline of each process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile

from msgspec import structs

from procmirror.decoding.proc_files import status_value
from procmirror.decoding.view import Each, Machine, Reading
from procmirror.views import tree


def join(reading: Reading, machine: Machine) -> Each:
    """The branch of the tree that begins at the process that `self` stands for."""
    pid = int(status_value(reading.read("self/status"), b"Tgid"))
    whole = tree.join(reading, machine)
    return replace(whole, arrange=lambda found: _branch(pid, tree.arranged(found)))


def _branch(pid: int, found: Iterator[tree.Process]) -> Iterator[tree.Process]:
    top = next((one for one in found if one.pid == pid), None)
    if top is None:
        return
    yield structs.replace(top, depth=0)
    below = takewhile(lambda one: one.depth > top.depth, found)
    yield from (structs.replace(one, depth=one.depth - top.depth) for one in below)
