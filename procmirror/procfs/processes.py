"""One procfs, and its processes by number and by what tells each from a later one.

Only the descriptor of /proc/PID is ever held, because a held leaf keeps the owner it had
(fs/proc/base.c refreshes owner and mode on a walk by name); everything below is found by name each
time.
"""

from __future__ import annotations

import errno
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from procmirror.decoding.proc_files import stat_columns, status_value
from procmirror.identity.errors import error
from procmirror.identity.files import read_file
from procmirror.procfs.mounts import hidden_processes
from procmirror.procfs.proc import DIRECTORY

# The part of the time in which it is looked whether the mount hides processes now is 1 / _LOOKS.
_LOOKS = 100
# The index of the start among the columns of stat after the name.
_STAT_STARTTIME = 19


class Process:
    """One process as the mirror knows it.

    A number, and what tells it from a later one of the same number.

    `inode` is that of /proc/PID when it was first seen; while `descriptor` is open the kernel keeps
    that inode, so equal numbers mean the same process. `start` is kept when the descriptor has to
    be given back. `named` is when its name was last given to a kernel that may keep it, `retrying`
    the threads that were told after its end to walk once more. `is_kernel` says whether it is a
    kernel thread, None while that is not known. `stranger` is the number of the last process of
    which it was found to be no thread.
    """

    __slots__ = (
        "descriptor",
        "inode",
        "is_kernel",
        "name",
        "named",
        "own",
        "retrying",
        "start",
        "stranger",
    )

    def __init__(self, name: bytes, inode: int) -> None:
        self.name = name
        self.inode = inode
        self.descriptor = -1
        self.start: bytes | None = None
        self.own = False
        self.is_kernel: bool | None = None
        self.stranger: bytes | None = None
        self.named = 0.0
        self.retrying: set[int] = set()


class Proc:
    """One procfs instance, and the processes whose directories are held open in it."""

    def __init__(self, root: int, own: int, kept: int = 1000) -> None:
        self.root = root
        self.device = os.fstat(root).st_dev
        self.native = os.fstat(own).st_dev == self.device or _same_pid_namespace(root, own)
        self.pid_namespace = _pid_namespace(root)
        self._own = own
        self._next_look = 0.0
        self.hides = hidden_processes(own, root)
        self._kept = kept
        # When the process of a directory started, in ticks, None if that is not told. The kernel
        # may wait for its exec lock.
        self.start_of: Callable[[int], bytes | None] = _start
        self._held: OrderedDict[Process, None] = OrderedDict()
        self._tasks = self._own_tasks()

    def _own_tasks(self) -> int:
        """This process's thread list in SOURCE, to know its threads under any number."""
        try:
            return os.open(b"self/task", DIRECTORY & ~os.O_NOFOLLOW, dir_fd=self.root)
        except OSError:
            return -1

    def look_at_options(self) -> None:
        """Read again how the mount hides processes, as a remount may have changed that.

        No poll tells a remount in another mount namespace. At most a hundredth of the time goes
        into it, however many mounts there are. Raises OSError where they cannot be read now.
        """
        begun = time.monotonic()
        if begun >= self._next_look:
            self.hides = hidden_processes(self._own, self.root)
            self._next_look = begun + _LOOKS * (time.monotonic() - begun)

    def number(self, tid: int, own: int) -> bytes | None:
        """The number here of a thread of the procfs `own`, None where it has none."""
        if self.native:
            return b"%d" % tid
        try:
            if os.readlink(b"%d/ns/pid" % tid, dir_fd=own).decode() != self.pid_namespace:
                return None
            return status_value(read_file(own, b"%d/status" % tid), b"NSpid").split()[-1]
        except (OSError, ValueError):
            return None

    def is_thread(self, process: Process, number: bytes) -> bool:
        """Whether a process is a thread of the one with this number.

        A thread that is looked at as if it were a process has a number, too. What is no thread of a
        process never becomes one, nor one of a later process with that number, which is younger.
        """
        if process.stranger == number:
            return False
        found = self.has(number + b"/task/" + process.name)
        if not found:
            process.stranger = number
        return found

    def directory(self, process: Process | None) -> int:
        """The descriptor of a process's directory, or of the root.

        Raises OSError(ESRCH) when the process is gone, also if another has its number now.
        """
        if process is None:
            return self.root
        if process.descriptor >= 0:
            self._held.move_to_end(process)
            return process.descriptor
        return self._attach(process)

    def descriptors(self, process: Process | None) -> tuple[int]:
        """The same for what begins with it, and is asked for when it begins."""
        return (self.directory(process),)

    def is_there(self, process: Process) -> bool:
        """Whether a process has not ended."""
        try:
            os.stat(b"stat", dir_fd=self.directory(process))
        except OSError:
            return False
        return True

    def has(self, name: bytes) -> bool:
        """Whether there is a name at the root."""
        try:
            os.stat(name, dir_fd=self.root, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _attach(self, process: Process) -> int:
        try:
            descriptor = os.open(process.name, DIRECTORY, dir_fd=self.root)
        except FileNotFoundError:
            raise error(errno.ESRCH) from None
        try:
            same = os.fstat(descriptor).st_ino == process.inode or (
                process.start is not None and self.start_of(descriptor) == process.start
            )
        except OSError:
            same = False
        if not same:
            os.close(descriptor)
            raise error(errno.ESRCH)
        process.inode = os.fstat(descriptor).st_ino
        process.descriptor = descriptor
        process.own = self._is_own(process.name)
        self._held[process] = None
        if len(self._held) > self._kept:
            self.release(next(iter(self._held)), keep=True)
        return descriptor

    def _is_own(self, name: bytes) -> bool:
        if self._tasks < 0:
            return False
        try:
            os.stat(name, dir_fd=self._tasks)
        except OSError:
            return False
        return True

    def release(self, process: Process, *, keep: bool = False) -> None:
        """Close a process's descriptor; with `keep`, note what tells it from a successor."""
        if process.descriptor < 0:
            return
        if keep:
            with suppress(OSError):
                process.start = self.start_of(process.descriptor) or process.start
        self._held.pop(process, None)
        os.close(process.descriptor)
        process.descriptor = -1


def _start(directory: int) -> bytes:
    return start_in(read_file(directory, b"stat"))


def start_in(stat: bytes) -> bytes:
    """When a process started, in ticks since the machine did (column 22 of proc_pid_stat(5))."""
    return stat_columns(stat)[_STAT_STARTTIME]


def _pid_namespace(root: int) -> str | None:
    """The pid namespace that a procfs shows, as its first process names it."""
    try:
        return os.readlink("1/ns/pid", dir_fd=root)
    except OSError:
        return None


def _same_pid_namespace(root: int, own: int) -> bool:
    try:
        return os.readlink(b"self", dir_fd=root) == os.readlink(b"self", dir_fd=own) and (
            os.readlink("self/ns/pid", dir_fd=own)
            == (_pid_namespace(root) or os.readlink("self/ns/pid", dir_fd=root))
        )
    except OSError:
        return False
