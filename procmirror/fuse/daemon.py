"""The daemon: what it is allowed, where it is mounted, how it ends."""

from __future__ import annotations

import errno
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import pyfuse3
import trio

from procmirror.fuse import loop, request_log
from procmirror.fuse.operations import ProcMirror
from procmirror.fuse.quota import kept_processes
from procmirror.identity import linux, seccomp
from procmirror.identity.credentials import Credentials
from procmirror.identity.requester import Requesters
from procmirror.mirror.settings import Settings
from procmirror.mirror.traits import show
from procmirror.procfs.mounts import mounts
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.calls import Workers
from procmirror.workers.entry_operations import GetAttributes
from procmirror.workers.placement import IN_DAEMON
from procmirror.workers.protocol import Request

_NOT_HIS = "not yours to mount at; take a directory that you own and may write to"
# Messages of libfuse and fusermount3 with what a user can do about them; every other message is
# passed on unchanged.
_MEANINGS = {
    "user_allow_other": "allow_other is refused to users; root can allow it: echo user_allow_other "
    ">> /etc/fuse.conf",
    "no write access to mountpoint": _NOT_HIS,
    "not owned by user": _NOT_HIS,
    "mount failed: Operation not permitted": "mounting is not permitted; it takes CAP_SYS_ADMIN "
    "(in a container: in its own "
    "user namespace), or a fusermount3 that is setuid root and not kept from it by "
    "no-new-privileges or nosuid",
}
# The time in seconds for which a mount may still exist after its connection ended by an unmount.
_UNMOUNTED_WITHIN = 0.3


class NotMounted(Exception):
    """The kernel or libfuse refused the mount."""


class Manager(Protocol):
    """Who wants to hear every `beat_seconds` that the daemon lives, and how it is."""

    @property
    def beat_seconds(self) -> float:
        """How often, in seconds."""

    def beat(self, state: str) -> None:
        """Hear it."""


def serve(
    own: int,
    source: int,
    mountpoint: str,
    options: set[str],
    settings: Settings,
    ready: Callable[[], None],
    manager: Manager | None = None,
) -> None:
    """Mount the procfs `source` at `mountpoint` and answer until told to end or unmounted.

    Calls `ready` once the mount answers. `own` is a procfs of the mount's pid namespace, `options`
    are those of libfuse. `manager` is told again and again how the daemon is. Raises NotMounted.
    """
    os.chdir("/")
    _harden(own)
    show(settings)
    roots = ProcRoots(source, own)
    workers = Workers(roots, settings.timeout, loop.quiet)
    credentials = Credentials()
    requesters = Requesters(own, credentials, ignores_modules=settings.ignores_modules)
    operations = ProcMirror(
        Proc(source, own, kept_processes()), credentials, requesters, workers, roots, settings
    )
    if settings.debug:
        request_log.install(operations, own)
    place = _Place(own, mountpoint)
    said: list[str] = []
    try:
        with _heard(said):
            pyfuse3.init(operations, place.first, options)
    except RuntimeError:
        raise NotMounted(f"{mountpoint}: {_meaning(said)}") from None
    place.settle()
    # Workers of a lost fork server become this process's children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        trio.run(_run, operations, workers, credentials, place, ready, manager)
    finally:
        aborted = place.is_aborted
        place.leave()
    if aborted:
        raise NotMounted(f"{mountpoint}: the kernel has aborted the connection")


def _meaning(said: list[str]) -> str:
    last = said[-1] if said else "cannot be mounted"
    return next((meaning for words, meaning in _MEANINGS.items() if words in last), last)


@contextmanager
def _heard(said: list[str]) -> Iterator[None]:
    """Capture what libfuse and fusermount3 write to stderr, to make one line of it."""
    ear, stderr = os.memfd_create("stderr"), os.dup(2)
    os.dup2(ear, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        said += os.pread(ear, 4096, 0).decode(errors="backslashreplace").splitlines()
        os.close(ear)
        os.close(stderr)


async def _run(
    operations: ProcMirror,
    workers: Workers,
    credentials: Credentials,
    place: _Place,
    ready: Callable[[], None],
    manager: Manager | None,
) -> None:
    async with trio.open_nursery() as nursery:

        async def settle() -> None:
            # A daemon without a worker can serve nobody, so it is not ready.
            request = Request(GetAttributes(os.fsencode(place.first)), credentials.rest)
            try:
                await workers.call(request, [place.own], IN_DAEMON, None)
            except OSError as refused:
                if refused.errno != errno.ENOTCONN:
                    raise
                # The kernel aborted the connection before the first request was answered.
                place.is_aborted = True
                nursery.cancel_scope.cancel()
                return
            if place.staged:
                place.move()
            ready()

        nursery.start_soon(workers.run, nursery)
        nursery.start_soon(operations.sweep)
        nursery.start_soon(_until_told, nursery.cancel_scope)
        nursery.start_soon(settle)
        if manager:
            nursery.start_soon(_beat, operations, manager)
        await loop.serve()
        if place.is_mounted():
            # An umount(8) by force aborts the connection first.
            await trio.sleep(_UNMOUNTED_WITHIN)
            place.is_aborted = place.is_mounted()
        nursery.cancel_scope.cancel()


async def _beat(operations: ProcMirror, manager: Manager) -> None:
    """Tell again and again that the daemon lives: a loop that hangs tells nothing."""
    while True:
        await trio.sleep(manager.beat_seconds)
        manager.beat(operations.state().in_words)


async def _until_told(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for _ in signals:
            scope.cancel()


class _Place:
    """Where the mirror is mounted.

    libfuse opens /proc/sys/fs/pipe-max-size when it serves its first request. The mirror cannot
    answer that itself, so a mount over /proc is made in another directory first, and is bound to
    /proc after that request.
    """

    def __init__(self, own: int, mountpoint: str) -> None:
        self.own = own
        self._mountpoint = mountpoint
        self._device = b""
        self.is_aborted = False
        self.staged = os.path.samefile(mountpoint, "/proc")
        self.first = mountpoint
        if self.staged:
            # The root of a user namespace has no right to /run.
            self.first = tempfile.mkdtemp(
                prefix="procmirror.", dir="/run" if os.access("/run", os.W_OK) else None
            )

    def move(self) -> None:
        """Move the mount from its first directory to the mountpoint."""
        self.settle()
        linux.bind(self.first, self._mountpoint)
        linux.unmount_lazily(self.first)
        os.rmdir(self.first)

    def settle(self) -> None:
        """Note the device of the mount, by which a later mount at the same path is told apart."""
        first = os.fsencode(self.first)
        devices = [mount.device for mount in mounts(self.own) if mount.mount_point == first]
        self._device = devices[-1] if devices else b""

    def is_mounted(self) -> bool:
        """Whether the mirror is mounted at its path."""
        path = os.fsencode(self._mountpoint)
        here = [mount.device for mount in mounts(self.own) if mount.mount_point == path]
        return bool(self._device and here) and here[-1] == self._device

    def leave(self) -> None:
        """Unmount the mirror if it is still mounted, and no other mount that is there by now.

        libfuse does not unmount a mount whose connection was aborted, and does not know that a
        mount was moved.
        """
        ours = self.staged or self.is_aborted
        if ours and self.is_mounted():
            with suppress(OSError):
                linux.unmount_lazily(self._mountpoint)
        pyfuse3.close(unmount=not ours)


def _harden(own: int) -> None:
    """Protect this process, which will hold the secrets of others, before it has any."""
    linux.forbid_dumps()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    linux.join_empty_session_keyring()
    if os.geteuid() == 0:
        linux.forbid_new_privileges()
        with suppress(OSError):
            linux.clear_ambient()
        linux.empty_bounding_set()
        with suppress(OSError):
            seccomp.forbid_what_nothing_needs()
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ
    }
    linux.erase_environment(own)
    os.environ.clear()
    os.environ.update(kept)
    os.umask(0o077)
