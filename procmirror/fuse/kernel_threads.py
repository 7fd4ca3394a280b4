"""Which processes are kernel threads, whose files nobody has to wait for.

A kernel thread has no memory and executes no program, so what reads its memory or its `stat` finds
neither lock held (mmap_lock, exec_update_lock), and no memory to take down: the daemon may do it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from procmirror.decoding.proc_files import stat_columns
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.mirror.places import END_MEMORY
from procmirror.procfs.processes import Proc, Process
from procmirror.workers.opened import Opened

_PF_KTHREAD = 0x200000
# The indexes of flags and start among the columns of stat after the name (proc_pid_stat(5)).
_FLAGS, _START = 6, 19
# Before Linux 5.19, what runs a program for the kernel (usermode helper) is a kernel thread until
# its execve(2). So old in seconds is none.
_OLD = 10.0
_TICKS = 100
# Of these the daemon has the decoders, too.
DECODED = END_MEMORY | {b"stat", b"cmdline", b"environ"}
# What tells it, or takes the ring no longer than the question.
_TELL = END_MEMORY | {b"stat"}
_FILES = DECODED | {b"auxv", b"io", b"maps", b"numa_maps", b"smaps", b"smaps_rollup"}
# Who opens `current` takes the exec lock, to note the memory (proc_pid_attr_open, fs/proc/base.c).
_FILES_OF = {"PID": _FILES, "PID/task/TID": _FILES, "PID/attr": frozenset((b"current",))}
# The line of `status` since Linux 6.11.
_KTHREAD = re.compile(rb"^Kthread:\t([01])$", re.MULTILINE)


class KernelThreads:
    """Tells kernel threads by their `stat`, where the ring reads it; else `told` tells them."""

    def __init__(self, source: Proc) -> None:
        # The `stat` of the process of a directory, None if that is not soon read; OSError as the
        # kernel raises it.
        self.stat_of: Callable[[int], bytes | None] = lambda _: None
        self._proc = source

    def is_one(self, process: Process) -> bool:
        """Whether a process is a kernel thread; False where that is not known."""
        if process.is_kernel is None:
            with suppress(OSError):
                stat = self.stat_of(self._proc.directory(process))
                process.is_kernel = None if stat is None else _by_stat(stat)
        return bool(process.is_kernel)

    def answers_at_once(self, node: Node) -> bool:
        """Whether a node is a file, or a view of one, that is read without a wait for that."""
        if (
            node.process is None
            or node.source not in _FILES_OF.get(node.place.pattern, ())
            or not (node.sibling is None or (node.source in DECODED and not node.is_joined_view))
        ):
            return False
        if node.source in _TELL:
            # To find it out first would take as long as to have the ring read them.
            return bool(node.process.is_kernel)
        return self.is_one(node.process)


def told(name: bytes, opened: Opened[Any], execution: Execution) -> bool | None:
    """Whether a file that was read with its OPEN is of a kernel thread; None if that is open.

    `stat` leaves it open of a young one, and where the start is told by the clock of another time
    namespace; `status` before Linux 6.11.
    """
    content: bytes = opened.readahead[0] if opened.readahead else b""
    if name == b"status":
        line = _KTHREAD.search(content)
        return line[1] == b"1" if line else None
    if name != b"stat":
        return None
    found = _by_stat(content)
    return None if found and execution.placement.differing else found


def _by_stat(content: bytes) -> bool | None:
    """Whether a `stat` is of a kernel thread; None of a young one, or if it has another form."""
    try:
        columns = stat_columns(content)
        if not int(columns[_FLAGS]) & _PF_KTHREAD:
            return False
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(columns[_START]) / _TICKS
    except (ValueError, IndexError):
        return None
    return True if age > _OLD else None
