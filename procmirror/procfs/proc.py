"""The real /proc by directory descriptor.

Every function here asks the kernel with the identity that this thread acts as.

Only the descriptor of /proc/PID is held, because a held entry below it keeps the owner that it had
(fs/proc/base.c refreshes owner and mode on a walk by name). Everything below is looked up by name
each time. Magic links are never followed.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from procmirror.decoding.proc_files import MountLine, mount_lines, stat_columns, status_value
from procmirror.identity import linux
from procmirror.identity.errors import error
from procmirror.identity.files import read_file

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# The index of the start time among the columns of stat after the name.
_STAT_STARTTIME = 19
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Attributes(NamedTuple):
    """The fields of stat(2) that FUSE passes on; times in nanoseconds."""

    mode: int
    inode: int
    nlink: int
    uid: int
    gid: int
    size: int
    blocks: int
    blksize: int
    atime: int
    mtime: int
    ctime: int


def _attributes(found: os.stat_result) -> Attributes:
    # This runs for every name of every listing; with keyword arguments it takes half as long again.
    return Attributes._make(
        (
            found.st_mode,
            found.st_ino,
            found.st_nlink,
            found.st_uid,
            found.st_gid,
            found.st_size,
            found.st_blocks,
            found.st_blksize,
            found.st_atime_ns,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )
    )


def attributes(directory: int, path: bytes) -> Attributes:
    """The attributes of an entry; links are not followed.

    An empty `path` means the directory itself, which answers even if its process has ended.
    """
    if not path:
        return _attributes(os.fstat(directory))
    return _attributes(os.stat(path, dir_fd=directory, follow_symlinks=False))


def link(directory: int, path: bytes) -> bytes:
    """The text of a symbolic link."""
    return os.readlink(path, dir_fd=directory)


def access(directory: int, path: bytes, mode: int) -> None:
    """Raise the refusal of faccessat2(2) for `mode`, if any."""
    linux.access(directory, path or b".", mode)


def open_file(directory: int, path: bytes, flags: int = os.O_RDONLY) -> int:
    """A descriptor that never waits for data (kmsg) and never becomes a terminal.

    `flags` are the access mode and O_TRUNC.
    """
    return os.open(path, _READ | flags, dir_fd=directory)


def open_directory(directory: int, path: bytes) -> int:
    """A descriptor for listing a directory."""
    return os.open(path or b".", _READ | os.O_DIRECTORY, dir_fd=directory)


def some_names(descriptor: int, most: int) -> list[str] | None:
    """The names in an open directory, None if there are more than `most`."""
    with os.scandir(descriptor) as entries:
        names = [entry.name for entry in islice(entries, most + 1)]
    return names if len(names) <= most else None


def read(descriptor: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes at `offset`, in as many calls as the kernel needs for them.

    One call returns one internal buffer of a seq_file, and a request for each would be slow.
    """
    content = os.pread(descriptor, size, offset)
    if len(content) < 2048 or len(content) == size:
        return content
    pieces = [content]
    have = len(content)
    while have < size:
        try:
            content = os.pread(descriptor, size - have, offset + have)
        except OSError:
            break
        if not content:
            break
        pieces.append(content)
        have += len(content)
    return b"".join(pieces)


def write(descriptor: int, data: bytes, offset: int) -> int:
    """Write bytes in one call, at a non-negative `offset` or at the position of the descriptor.

    Not pwrite(2), which a seq_file refuses, and no seek without need: it would make a seq_file
    produce its content.
    """
    if offset >= 0:
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
        except OSError as refused:
            if refused.errno != errno.ESPIPE:
                raise
    return os.write(descriptor, data)


def touch(
    directory: int, path: bytes, owner: tuple[int, int] | None, times: tuple[int, int] | None
) -> None:
    """Set owner and group (-1 keeps one) or times (in nanoseconds) of the entry itself.

    Procfs forgets most of them at once.
    """
    if owner:
        os.chown(path or b".", *owner, dir_fd=directory, follow_symlinks=False)
    if times:
        os.utime(path or b".", ns=times, dir_fd=directory, follow_symlinks=False)


def names(directory: int, path: bytes) -> list[bytes]:
    """The names in a directory, in the kernel's order."""
    descriptor = open_directory(directory, path)
    try:
        return [os.fsencode(name) for name in os.listdir(descriptor)]
    finally:
        os.close(descriptor)


class Process:
    """One process as the mirror knows it.

    It is a number, with what distinguishes the process from a later one of the same number.

    `inode` is that of /proc/PID when it was first seen. While `descriptor` is open the kernel keeps
    that inode, so equal numbers mean the same process. `start` is noted when the descriptor has to
    be closed. `named` is when its name was last given to a kernel that may keep it; `retrying` are
    the threads that were told to walk once more after its end.
    """

    __slots__ = ("descriptor", "inode", "leader", "name", "named", "own", "retrying", "start")

    def __init__(self, name: bytes, inode: int) -> None:
        self.name = name
        self.inode = inode
        self.descriptor = -1
        self.start: bytes | None = None
        self.own = False
        self.leader: bytes | None = None
        self.named = 0.0
        self.retrying: set[int] = set()


class Proc:
    """One procfs instance, and the processes whose directories are held open in it."""

    def __init__(self, root: int, own: int, kept: int = 1000) -> None:
        self.root = root
        self.device = os.fstat(root).st_dev
        self.native = os.fstat(own).st_dev == self.device or _same_pid_namespace(root, own)
        self.pid_namespace = _pid_namespace(root)
        self.hides = _hides(own, root)
        self._kept = kept
        self._held: OrderedDict[Process, None] = OrderedDict()
        self._tasks = self._own_tasks()

    def _own_tasks(self) -> int:
        """This process's list of threads in the source, to know its threads by any number."""
        try:
            return os.open(b"self/task", _DIRECTORY & ~os.O_NOFOLLOW, dir_fd=self.root)
        except OSError:
            return -1

    def number(self, tid: int, own: int) -> bytes | None:
        """The number here of a thread of the procfs `own`; None if it has none."""
        if self.native:
            return b"%d" % tid
        try:
            if os.readlink(b"%d/ns/pid" % tid, dir_fd=own).decode() != self.pid_namespace:
                return None
            return status_value(read_file(own, b"%d/status" % tid), b"NSpid").split()[-1]
        except (OSError, ValueError):
            return None

    def leader(self, process: Process) -> bytes:
        """The number of a process's thread group.

        It is the process's own number, except for a thread that is looked at as if it were a
        process.
        """
        if process.leader is None:
            process.leader = status_value(read_file(self.directory(process), b"status"), b"Tgid")
        return process.leader

    def directory(self, process: Process | None) -> int:
        """The descriptor of a process's directory, or of the root.

        Raises OSError(ESRCH) if the process has ended, even if another one has its number now.
        """
        if process is None:
            return self.root
        if process.descriptor >= 0:
            self._held.move_to_end(process)
            return process.descriptor
        return self._attach(process)

    def is_there(self, process: Process) -> bool:
        """Whether a process still exists."""
        try:
            os.stat(b"stat", dir_fd=self.directory(process))
        except OSError:
            return False
        return True

    def has(self, name: bytes) -> bool:
        """Whether the root has an entry with this name."""
        try:
            os.stat(name, dir_fd=self.root, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _attach(self, process: Process) -> int:
        try:
            descriptor = os.open(process.name, _DIRECTORY, dir_fd=self.root)
        except FileNotFoundError:
            raise error(errno.ESRCH) from None
        try:
            same = os.fstat(descriptor).st_ino == process.inode or (
                process.start is not None and _start(descriptor) == process.start
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
                process.start = _start(process.descriptor)
        self._held.pop(process, None)
        os.close(process.descriptor)
        process.descriptor = -1


def _start(directory: int) -> bytes:
    """The start time of a process in ticks since boot (column 22 of proc_pid_stat(5))."""
    return stat_columns(read_file(directory, b"stat"))[_STAT_STARTTIME]


def _pid_namespace(root: int) -> str | None:
    """The pid namespace that a procfs shows, by the link of its first process."""
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


def mounts(own: int) -> list[MountLine]:
    """The mounts of this mount namespace; `own` is a procfs in which this process is `self`."""
    return mount_lines(read_file(own, b"self/mountinfo"))


def mount_of(own: int, descriptor: int) -> MountLine | None:
    """The mount that a descriptor is on; None if this mount namespace does not show it."""
    lines = read_file(own, b"self/fdinfo/%d" % descriptor).splitlines()
    mount_id = next(int(line.split()[1]) for line in lines if line.startswith(b"mnt_id:"))
    return next((mount for mount in mounts(own) if mount.mount_id == mount_id), None)


def _hides(own: int, root: int) -> str:
    """How the mount hides processes from some of its readers (hidepid=); empty if it does not."""
    mount = mount_of(own, root)
    options = mount.super_options.decode("utf-8", "backslashreplace") if mount else ""
    hidden = [
        option.partition("=")[2] for option in options.split(",") if option.startswith("hidepid=")
    ]
    words = {"0": "", "off": "", "1": "noaccess", "2": "invisible", "4": "ptraceable"}
    return "".join(words.get(value, value) for value in hidden[-1:])
