"""What a mount needs: a procfs, a free mountpoint, and FUSE."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from procmirror.cli.command_line import Command
from procmirror.cli.errors import CommandError
from procmirror.identity import file_calls
from procmirror.procfs.mounts import mount_of

# The time in seconds in which a path must give its attributes: a loaded daemon answers in time, a
# stopped one does not.
_ANSWER_SECONDS = 10.0
Answer = TypeVar("Answer")


class Checked(NamedTuple):
    """The parts of a mount that have been checked.

    `own` is a descriptor of /proc, `source` one of the procfs that is mirrored (the same for
    /proc), `path` the absolute path of the mountpoint. While `lock` is open no other mirror is
    started there; it is -1 if the path cannot be locked.
    """

    own: int
    source: int
    path: str
    lock: int

    def unlock(self) -> None:
        """Let other commands start a mirror there; they will find this one."""
        if self.lock >= 0:
            os.close(self.lock)

    def give_up(self) -> None:
        """Let others start a mirror there at once, though this process has not ended yet.

        Only before `unlock`.
        """
        if self.lock >= 0:
            with suppress(OSError):
                fcntl.flock(self.lock, fcntl.LOCK_UN)


def check(command: Command) -> Checked:
    """Check that the mount is possible, and release a mountpoint whose daemon was killed.

    Raises CommandError.
    """
    path, lock = _free(_absolute(command.mountpoint))
    own = open_procfs("/proc")
    source = own if os.path.abspath(command.source) == "/proc" else open_procfs(command.source)
    if int(os.readlink("self", dir_fd=own)) != os.getpid():
        raise CommandError("/proc belongs to another pid namespace")
    if command.links_to_proc:
        _check_links(command.source, path, own, source)
    root = os.path.realpath(command.source)
    if path.startswith(root + "/"):
        raise CommandError(f"{path}: inside {root}, which it would mirror")
    _check_fuse(path)
    return Checked(own, source, path, lock)


def _absolute(path: str) -> str:
    if not path:
        raise CommandError("MOUNTPOINT is empty")
    try:
        return os.path.abspath(path)
    except OSError:
        raise CommandError(f"{path}: the working directory has been deleted") from None


def _free(path: str) -> tuple[str, int]:
    """The path of a mountpoint without links, and a lock on it, if no procmirror serves it.

    Links are followed here: the daemon has another /proc/self and another working directory.
    """
    _release_dead(path)
    try:
        _within_bounds(os.path.join(path, "."))
    except OSError as refused:
        raise CommandError(f"{path}: {refused.strerror}") from None
    path = os.path.realpath(path)
    if path == "/":
        raise CommandError("/: a mount there would hide the whole system; take another directory")
    lock = _locked(path)
    if is_served(path):
        raise CommandError(f"{path}: already served by procmirror")
    return path, lock


def _locked(path: str) -> int:
    """A lock that keeps other commands from starting a mirror at a path; -1 if it cannot be had.

    Raises CommandError if another command starts one now.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as refused:
        if refused.errno != errno.EWOULDBLOCK:
            return descriptor
        raise CommandError(f"{path}: another procmirror is being started there") from None
    return descriptor


def _within_bounds(path: str) -> None:
    """The attributes of a path, if they come in time. OSError as the kernel raises it.

    Raises CommandError if there is no answer: the daemon of a FUSE mount may be stopped.
    """
    within_bounds(path, lambda: os.stat(path))


def within_bounds(path: str, ask: Callable[[], Answer]) -> Answer:
    """What `ask` returns of a path, if it does in time. Raises OSError as `ask` does.

    Raises CommandError if there is no answer: the daemon of a FUSE mount may be stopped.
    """
    answers: list[Answer | OSError] = []

    def keep() -> None:
        try:
            answers.append(ask())
        except OSError as refused:
            answers.append(refused)

    asking = threading.Thread(target=keep, daemon=True)
    asking.start()
    asking.join(_ANSWER_SECONDS)
    if not answers:
        raise CommandError(
            f"{path}: what is mounted there does not answer; umount -l takes it away"
        )
    if isinstance(answers[0], OSError):
        raise answers[0]
    return answers[0]


def _check_fuse(path: str) -> None:
    """Check that the machine can mount FUSE, and that this user may."""
    if not os.path.exists("/dev/fuse"):
        raise CommandError(
            "/dev/fuse is missing; root can load the module: modprobe fuse; "
            "a container must be given the device"
        )
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise CommandError(
            "/dev/fuse: Permission denied; root can open it to users: chmod 666 /dev/fuse"
        )
    if os.geteuid() and not _has_fusermount():
        raise CommandError("fusermount3 is missing; root can install it: apt-get install fuse3")
    if os.geteuid() and os.path.samefile(path, "/proc"):
        raise CommandError(f"{path}: only root can mount over it")


def _has_fusermount() -> bool:
    from shutil import which

    return which("fusermount3") is not None


def _check_links(source_path: str, path: str, own: int, source: int) -> None:
    """Check that links to /proc lead to the procfs that is mirrored."""
    if os.fstat(source).st_dev != os.fstat(own).st_dev:
        raise CommandError(f"{source_path}: links=proc needs /proc itself as SOURCE")
    if os.path.samefile(path, "/proc"):
        raise CommandError(f"{path}: links=proc would lead back into the mirror")


def open_procfs(path: str) -> int:
    """A descriptor of the root of a procfs. Raises CommandError if `path` is not one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as refused:
        raise CommandError(f"{path}: {refused.strerror}") from None
    if file_calls.filesystem_magic(descriptor) != file_calls.PROC_SUPER_MAGIC:
        raise CommandError(f"{path}: not a procfs")
    try:
        os.stat("self", dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        raise CommandError(f"{path}: not the root of a procfs") from None
    return descriptor


def _release_dead(path: str) -> None:
    """Unmount a mirror whose daemon was killed."""
    try:
        _within_bounds(path)
    except OSError as dead:
        if dead.errno in {errno.ENOTCONN, errno.ECONNABORTED}:
            _unmount(path)


def _unmount(path: str) -> None:
    try:
        file_calls.unmount_lazily(path)
    except OSError as refused:
        if not _unmounted_by_fusermount(path):
            raise CommandError(
                f"{path}: its daemon is gone, and it cannot be unmounted: {refused.strerror}"
            ) from None


def _unmounted_by_fusermount(path: str) -> bool:
    """Whether fusermount3 unmounts it for a user; its own message is less helpful than ours."""
    silent = [(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)]
    try:
        pid = os.posix_spawnp(
            "fusermount3", ["fusermount3", "-uz", path], os.environ, file_actions=silent
        )
    except OSError:
        return False
    return os.waitpid(pid, 0)[1] == 0


def is_served(path: str) -> bool:
    """Whether the topmost mount at a path is a procmirror; False without a procfs."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount = mount_of(proc, descriptor)
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)
        os.close(proc)
    return (
        mount is not None
        and mount.fs_type == b"fuse.procmirror"
        and mount.mount_point == os.fsencode(path)
    )
