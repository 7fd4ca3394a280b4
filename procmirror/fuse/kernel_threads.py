"""Which processes are kernel threads, whose files nobody has to wait for.

A kernel thread has no memory and executes no program, so what reads its memory or its `stat` finds
neither lock held (mmap_lock, exec_update_lock), and the daemon may do it.
"""

from __future__ import annotations

import re
import time
from typing import Any

from procmirror.decoding.proc_files import stat_columns
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.identity.files import read_file
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
DECODED = frozenset((b"stat", b"cmdline", b"environ"))
_FILES = DECODED | {b"auxv", b"io", b"maps", b"numa_maps", b"smaps", b"smaps_rollup"}
# Who opens `current` takes the exec lock, to note the memory (proc_pid_attr_open, fs/proc/base.c).
_FILES_OF = {"PID": _FILES, "PID/task/TID": _FILES, "PID/attr": frozenset((b"current",))}
# What statm says of a process without memory, and the line of its status since Linux 6.11.
_NO_MEMORY = b"0 0 0 0 0 0 0\n"
_KTHREAD = re.compile(rb"^Kthread:\t([01])$", re.MULTILINE)


class KernelThreads:
    """Tells kernel threads by files that nobody has to wait for, where the kernel tells them so.

    On older kernels `told` tells them.
    """

    def __init__(self, source: Proc) -> None:
        self._proc = source
        self._are_told = True

    def is_one(self, process: Process) -> bool:
        """Whether a process is a kernel thread; False where that is not known."""
        if process.is_kernel is None and self._are_told:
            process.is_kernel = self._by_status(process)
        return bool(process.is_kernel)

    def _by_status(self, process: Process) -> bool | None:
        """Whether it is one by its statm, which is soon read, and its status; None without."""
        try:
            directory = self._proc.directory(process)
            if read_file(directory, b"statm") != _NO_MEMORY:
                return False
            found = _KTHREAD.search(read_file(directory, b"status"))
        except OSError:
            return None
        self._are_told = found is not None
        return found[1] == b"1" if found else None

    def answers_at_once(self, node: Node) -> bool:
        """Whether a node is a file, or a view of one, that is read without a wait for that."""
        return (
            node.process is not None
            and node.source in _FILES_OF.get(node.place.pattern, ())
            and (node.sibling is None or (node.source in DECODED and not node.is_joined_view))
            and self.is_one(node.process)
        )


def told(opened: Opened[Any], execution: Execution) -> bool | None:
    """Whether a `stat` that was read with its OPEN is of a kernel thread; None if that is open.

    It is for a young one, and where the start is told by the clock of another time namespace.
    """
    content: bytes = opened.readahead[0] if opened.readahead else b""
    try:
        columns = stat_columns(content)
        if not int(columns[_FLAGS]) & _PF_KTHREAD:
            return False
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(columns[_START]) / _TICKS
    except (ValueError, IndexError):
        return None
    return True if age > _OLD and not execution.placement.differing else None
