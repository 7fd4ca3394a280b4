"""The daemon: what it is allowed, where it is mounted, how it ends."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable
from typing import NamedTuple, Protocol

import pyfuse3
import trio

from procmirror.fuse import loop, request_log
from procmirror.fuse.hardening import harden
from procmirror.fuse.mount_errors import captured_stderr, meaning
from procmirror.fuse.mount_place import MountPlace
from procmirror.fuse.operations import ProcMirror
from procmirror.fuse.quota import kept_processes
from procmirror.fuse.ring_reads import ring_or_none
from procmirror.fuse.state import encoded
from procmirror.identity.credentials import Credentials
from procmirror.identity.requester import Requesters
from procmirror.identity.ring import Ring
from procmirror.mirror.settings import Settings
from procmirror.mirror.traits import show
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.calls import Workers
from procmirror.workers.entry_operations import GetAttributes
from procmirror.workers.operation import kept_open
from procmirror.workers.placement import IN_DAEMON
from procmirror.workers.protocol import Request

log = logging.getLogger("procmirror")
# The time in seconds for which a mount may still exist after its connection ended by an unmount.
_UNMOUNTED_WITHIN = 0.3
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


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
    # A service manager signals all processes of a unit; those that are forked later ignore it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    # Before the filter of system calls: nobody can make another one afterwards.
    ring = ring_or_none(loop.poll_alone)
    harden(own, -1 if ring is None else ring.descriptor)
    show(settings)
    place = MountPlace(own, mountpoint)
    session = _session(ProcRoots(source, own), settings, place, ready, manager, ring)
    _mount(session.operations, place.first, options, mountpoint)
    place.settle()
    session.operations.mounted_on(place.device)
    # Workers of a lost fork server become this process's children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        trio.run(session.run)
    finally:
        aborted = place.is_aborted
        place.leave()
    if aborted:
        raise NotMounted(f"{mountpoint}: the kernel has aborted the connection")


def _mount(operations: ProcMirror, first: str, options: set[str], mountpoint: str) -> None:
    """Mount in the directory `first`, for the mountpoint that is named in NotMounted.

    A signal that ends the daemon has to unmount from then on: it waits until `_until_told` takes
    it.
    """
    said: list[str] = []
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        with captured_stderr(said):
            pyfuse3.init(operations, first, options)
    except RuntimeError:
        raise NotMounted(f"{mountpoint}: {meaning(said)}") from None


class _Session(NamedTuple):
    """A mount while it is served. `ready` is called once it answers."""

    operations: ProcMirror
    workers: Workers
    credentials: Credentials
    place: MountPlace
    ready: Callable[[], None]
    manager: Manager | None

    async def run(self) -> None:
        """Answer until told to end or unmounted."""
        place = self.place
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.workers.run, nursery)
            nursery.start_soon(self.operations.sweep)
            nursery.start_soon(_until_told, nursery.cancel_scope)
            nursery.start_soon(_tell_when_asked, self.operations)
            nursery.start_soon(self._settle, nursery.cancel_scope)
            if self.manager:
                nursery.start_soon(_beat, self.operations, self.manager)
            await loop.serve()
            if place.is_mounted():
                # An umount(8) by force aborts the connection first.
                await trio.sleep(_UNMOUNTED_WITHIN)
                place.is_aborted = place.is_mounted()
            nursery.cancel_scope.cancel()

    async def _settle(self, scope: trio.CancelScope) -> None:
        """Have a worker look at the mount: a daemon without a worker can serve nobody."""
        place = self.place
        request = Request(GetAttributes(os.fsencode(place.first)), self.credentials.rest)
        try:
            await self.workers.call(request, kept_open(place.own), IN_DAEMON, None)
        except OSError as refused:
            if refused.errno != errno.ENOTCONN:
                raise
            # The kernel aborted the connection before the first request was answered.
            place.is_aborted = True
            scope.cancel()
            return
        if place.staged:
            place.move()
        self.ready()


def _session(
    roots: ProcRoots,
    settings: Settings,
    place: MountPlace,
    ready: Callable[[], None],
    manager: Manager | None,
    ring: Ring | None,
) -> _Session:
    """Everything that answers requests, before there is a mount."""
    workers, credentials = (
        Workers(roots, settings.timeout, loop.poll_without_trio, loop.poll_alone),
        Credentials(),
    )
    requesters = Requesters(roots.own, credentials, ignores_modules=settings.ignores_modules)
    proc = Proc(roots.root, roots.own, kept_processes())
    operations = ProcMirror(proc, credentials, requesters, workers, roots, settings, ring)
    workers.begin()
    if settings.debug:
        request_log.install(operations, roots.own)
    return _Session(operations, workers, credentials, place, ready, manager)


async def _beat(operations: ProcMirror, manager: Manager) -> None:
    """Tell again and again that the daemon lives: a loop that hangs tells nothing."""
    while True:
        await trio.sleep(manager.beat_seconds)
        manager.beat(operations.state().in_words)


async def _until_told(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(*_ENDING) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        async for _ in signals:
            scope.cancel()


async def _tell_when_asked(operations: ProcMirror) -> None:
    """Log the state at SIGUSR1, a line of JSON as `--status` has it, cut where it is long."""
    with trio.open_signal_receiver(signal.SIGUSR1) as signals:
        async for _ in signals:
            log.info("state %s", encoded(operations.state()).decode().rstrip())
