"""The daemon's side of the fork server."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import socket
from contextlib import suppress

import trio

from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import Identity
from procmirror.procfs import proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.handle import WorkerHandle
from procmirror.workers.protocol import (
    LOAD_VIEWS,
    MESSAGE_BYTES,
    SpawnRequest,
    decode_spawned,
    encode,
)
from procmirror.workers.zygote import Zygote

log = logging.getLogger("procmirror")

# The errnos of a request that was not sent although the fork server runs.
_NOT_SENT = frozenset(
    (errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.ETOOMANYREFS, errno.EMFILE)
)


class ForkServer:
    """The process that forks workers; the zygote starts another if it is lost.

    It counts as lost, too, if it does not answer for `timeout` seconds: it may be stopped, or its
    fork may wait for memory, and a requester that waits for it cannot be killed. `lock` is held
    during one request. There is none before `begin`.
    """

    def __init__(self, roots: ProcRoots, timeout: float = 5.0) -> None:
        self._roots = roots
        self._pidfd = -1
        self._timeout = timeout
        self._complained = -1.0
        self._serial = 0
        self._is_used = False
        self.lock = trio.Lock()

    def begin(self) -> None:
        """Fork the zygote, and the first fork server."""
        self._zygote = Zygote(self._roots)
        self._start()

    def _start(self) -> None:
        self.channel, self._pidfd = self._zygote.fork_server()
        if self._is_used:
            self._have_loaded()

    def note_use(self) -> None:
        """The mount is used: have all modules imported that further workers may need."""
        if not self._is_used:
            self._is_used = True
            self._have_loaded()

    def _have_loaded(self) -> None:
        with suppress(OSError):
            self.channel.send(LOAD_VIEWS, socket.MSG_DONTWAIT)

    def _end(self) -> None:
        self.channel.close()
        if self._pidfd >= 0:
            with suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1
        _reap()

    def _restart(self, reason: OSError) -> None:
        now = trio.current_time()
        if now - self._complained > 1:
            self._complained = now
            log.warning("the fork server is gone (%s); starting another", reason)
        self._end()
        try:
            self._start()
        except OSError as lost:
            raise Unanswered(errno.EIO, f"no fork server: {lost.strerror}") from lost

    def close(self) -> None:
        """Let the fork server and the zygote end."""
        self.channel.close()
        self._zygote.close()

    async def spawn(
        self, identity: Identity, namespaces: dict[str, int], label: bytes = b""
    ) -> WorkerHandle:
        """Start a worker in these namespaces (descriptors by kind); Unanswered(EIO) without one.

        If a user namespace is among them, or with a label, the worker has `identity` for good. With
        a label its first message says whether it has taken that on. A request to the fork
        server is always completed, even if the requester gave up: its answer must not be taken for
        that to the next request, which may be about other namespaces.
        """
        # The descriptors are copied because the requester may close its own while this request
        # waits for the lock.
        copies = _copied(namespaces)
        try:
            async with self.lock:
                with trio.CancelScope(shield=True):
                    handle = await self._request_or_restart(identity, copies, label)
        finally:
            for descriptor in copies.values():
                os.close(descriptor)
        return handle

    async def _request_or_restart(
        self, identity: Identity, namespaces: dict[str, int], label: bytes
    ) -> WorkerHandle:
        """Request a worker; start another fork server if this one is lost."""
        try:
            return await self._request_in_time(identity, namespaces, label)
        except Unanswered:
            raise
        except OSError as lost:
            if lost.errno not in _NOT_SENT:
                self._restart(lost)
            raise Unanswered(errno.EIO, "no worker") from lost

    async def _request_in_time(
        self, identity: Identity, namespaces: dict[str, int], label: bytes
    ) -> WorkerHandle:
        with trio.move_on_after(self._timeout):
            return await self._request(identity, namespaces, label)
        raise TimeoutError(errno.ETIMEDOUT, "it does not answer")

    async def _request(
        self, identity: Identity, namespaces: dict[str, int], label: bytes
    ) -> WorkerHandle:
        self._serial += 1
        request = SpawnRequest(self._serial, identity, tuple(namespaces), label)
        socket.send_fds(self.channel, [encode(request)], list(namespaces.values()))
        await trio.lowlevel.wait_readable(self.channel)
        message, descriptors, _, _ = socket.recv_fds(self.channel, MESSAGE_BYTES, 3)
        serial, answer = decode_spawned(message) if message else (0, 0)
        if serial == self._serial and answer < 0 and len(descriptors) == 3:
            channel, pidfd, note = descriptors
            directory = self._directory_of(-answer, pidfd)
            return WorkerHandle(socket.socket(fileno=channel), pidfd, -answer, note, directory)
        for descriptor in descriptors:
            os.close(descriptor)
        if serial != self._serial:
            raise ConnectionError("the fork server ended, or answers another question")
        raise Unanswered(errno.EIO, "no worker")

    def _directory_of(self, pid: int, pidfd: int) -> int:
        """The directory of a worker; -1 if it has ended, as another process may have its number."""
        try:
            found = os.open(b"%d" % pid, proc.DIRECTORY, dir_fd=self._roots.own)
        except OSError:
            return -1
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        if ended.poll(0):
            os.close(found)
            return -1
        return found


def _reap() -> None:
    """Wait for ended children: a fork server, and its workers, which are this process's then."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _copied(namespaces: dict[str, int]) -> dict[str, int]:
    copies: dict[str, int] = {}
    try:
        for kind, descriptor in namespaces.items():
            copies[kind] = os.dup(descriptor)
    except OSError as refused:
        for descriptor in copies.values():
            os.close(descriptor)
        raise Unanswered(errno.EIO, "no worker") from refused
    return copies
