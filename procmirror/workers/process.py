"""A worker process: single-threaded, killable, one operation at a time as the requester."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import threading
from array import array
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from procmirror.decoding.known_contents import KnownContents
from procmirror.decoding.view import DecodeError, Machine
from procmirror.identity import own_process
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import error
from procmirror.identity.events import perf_event
from procmirror.mirror import settings
from procmirror.mirror.snapshot import Snapshot, is_joined
from procmirror.procfs.file_reading import THIS_THREAD
from procmirror.procfs.kept import Kept
from procmirror.procfs.machine import host_name
from procmirror.procfs.peer import PeerReader
from procmirror.procfs.process_reading import Rights
from procmirror.procfs.read_note import NoNote, ReadNote
from procmirror.procfs.roots import ProcRoots
from procmirror.workers import late_modules
from procmirror.workers.current_request import CurrentRequest, Subrequests
from procmirror.workers.directory_operations import ListEntries
from procmirror.workers.file_operations import Open
from procmirror.workers.late_modules import LateParsers
from procmirror.workers.opened import Opened
from procmirror.workers.operation import Viewer
from procmirror.workers.operations import AnyOperation
from procmirror.workers.owner import is_owned_or_unknown
from procmirror.workers.protocol import (
    TARGET_IS_SELF,
    Reply,
    Request,
    decode_request,
    message_room,
)
from procmirror.workers.sender import Sender
from procmirror.workers.spool import Spool
from procmirror.workers.view_operations import CheckLink, DecodeFile, MakeTable, MakeView
from procmirror.workers.weight import Weight

# A worker that the daemon may be unable to kill is ended by the kernel after so many seconds of
# one operation.
_LONGEST_SECONDS = 70.0
# The room for the most descriptors that come with a message.
_ROOM_BESIDE = socket.CMSG_SPACE(4 * 4)
# The growth in KiB up to which a worker is used again.
_GROWTH_KIB = 16 << 10
# The most of a file and its content in bytes that a worker keeps, as of 300 mappings, and of all
# together.
_LONGEST_KEPT, _MOST_KEPT = 1 << 17, 1 << 20


class Worker:
    """The serving side of one worker's socket, and the context of the operations that run here.

    `host` is the daemon's host name if this process has another one, else None. `note`
    tells the daemon what is being read. `parsers` parse files of others; without them this process
    parses them.
    """

    def __init__(
        self,
        channel: socket.socket,
        roots: ProcRoots,
        credentials: Credentials,
        host: str | None,
        note: ReadNote | NoNote,
        parsers: LateParsers | None = None,
    ) -> None:
        self._channel = channel
        self._note = note
        self._roots = roots
        self._credentials = credentials
        self._host = host
        self._parsers = parsers
        self._initial_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._number = _number(roots.root)
        self._sender = Sender(channel)
        self._weight = Weight(credentials)
        self._kept = Kept()
        self.content = KnownContents(_LONGEST_KEPT, _MOST_KEPT).content
        self.files = THIS_THREAD
        self._current = CurrentRequest(credentials)
        # The number of threads of walks that still hang here.
        self._abandoned = 0
        self._first = threading.get_ident()
        self._alarm = 0.0
        self._peer = PeerReader(
            self._number,
            Subrequests(channel, self._current).ask,
            self._current.acting,
            self._current.resting,
            self._abandon,
        )
        self._no_peer = self._peer._replace(number=b"")

    def be_ended_by_the_kernel(self) -> None:
        """Have each operation end this process if it lasts too long.

        A profile of AppArmor may keep the daemon from sending it a signal, but not the kernel.
        """
        self._alarm = _LONGEST_SECONDS
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def serve(self) -> None:
        """Answer requests until the daemon closes the socket."""
        room = memoryview(message_room())
        while True:
            # Into the same room each time: to have half a MiB made for each message takes longer
            # than the rest of it.
            size, beside, flags, _ = self._channel.recvmsg_into([room], _ROOM_BESIDE)
            if not size:
                return
            descriptors = array("i", b"".join(data for _, _, data in beside))
            # Where it is cut off, a security module keeps the label from a file that was sent.
            self._serve(None if flags & socket.MSG_CTRUNC else room[:size], descriptors)

    def _serve(self, message: memoryview | None, descriptors: Sequence[int]) -> None:
        if self._alarm:
            signal.setitimer(signal.ITIMER_REAL, self._alarm)
        try:
            if message is None:
                self._sender.send(Reply(errno.EACCES))
            else:
                self._answer(decode_request(message), descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            if self._alarm:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _answer(self, request: Request, descriptors: Sequence[int]) -> None:
        if request.target and (request.target == self._number or self._has_thread(request.target)):
            self._sender.send(Reply(TARGET_IS_SELF))
            return
        self._sender.begin()
        if isinstance(request.operation, DecodeFile | MakeView):
            try:
                late_modules.load(request.operation.view)
            except OSError as missing:
                self._sender.send(Reply(errno.EIO, missing.strerror))
                return
        with self._weight.nicer(request.nice):
            self._current.begin(request, whole=self._depends_on_euid(request))
            refusal, result = self._carried_out(request, descriptors)
        if refusal:
            self._sender.send(refusal)
        else:
            self._deliver(result)

    def _carried_out(
        self, request: Request, descriptors: Sequence[int]
    ) -> tuple[Reply | None, Any]:
        """The refusal, or the result."""
        try:
            return None, self._result(request, descriptors)
        except OSError as refused:
            return Reply(refused.errno or errno.EIO, None, self._outgrown()), None
        except DecodeError as unknown:
            return Reply(errno.EIO, str(unknown), self._outgrown()), None
        except MemoryError:
            return Reply(errno.ENOMEM, None, retire=True), None

    def _result(self, request: Request, descriptors: Sequence[int]) -> Any:
        try:
            with self._current.acting():
                own_process.die_with_parent()
                try:
                    return request.operation.run(descriptors, self)
                finally:
                    self._current.end()
        finally:
            # The kernel forgets it when the credentials change back, too.
            own_process.die_with_parent()

    def _depends_on_euid(self, request: Request) -> bool:
        """Whether the kernel uses the effective user id for more than whether it is root's.

        It does if the requester owns a user namespace; and a file opened for writing may remember
        the opener's id (uid_map). Processes with the effective id of this one may change how it
        is scheduled, so it is not used again.
        """
        euid, operation = request.identity.effective[0], request.operation
        if not euid or not self._credentials.privileged:
            return False
        if isinstance(operation, Open) and operation.flags:
            return True
        if request.target:
            may_be = self._roots.may_be_owned(request.target)
            return may_be and is_owned_or_unknown(self._roots, request.target, euid)
        return _is_about_many(operation) and self._roots.any_may_be_owned()

    def _has_thread(self, number: bytes) -> bool:
        """Whether a number in the mirrored procfs is that of another thread of this process."""
        if threading.active_count() == 1 or not self._number:
            return False
        try:
            os.stat(b"%s/task/%s" % (self._number, number), dir_fd=self._roots.root)
        except OSError:
            return False
        return True

    def _deliver(self, result: Any) -> None:
        if isinstance(result, Opened):
            self._sender.opened(result, retire=self._current.whole)
        elif isinstance(result, Spool):
            self._sender.spooled(result, retire=self._outgrown())
        else:
            self._sender.result(result, retire=self._unfit(), outgrown=self._outgrown)

    def _unfit(self) -> bool:
        """Whether no other requester may use this process: for its id, or for hanging threads."""
        return bool(self._abandoned) or self._current.whole

    def _outgrown(self) -> bool:
        """Whether to replace this process: as it is unfit, or for its size."""
        return (
            self._unfit()
            or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > self._initial_kib + _GROWTH_KIB
        )

    # The context of an operation

    @property
    def own(self) -> int:
        """A procfs in which this process is `self`."""
        return self._roots.own

    def unseen(self) -> bytes:
        """The number of this process where another one, as the requester, does not find it."""
        if not self._number or self._credentials.equals(self._current.request.identity):
            return b""
        (found,) = self._peer.ask([("there", self._number)])
        return self._number if found else b""

    def progress(self) -> None:
        """Report now and then that the operation still makes progress."""
        self._sender.progress()

    def grown(self, spool: Spool) -> None:
        """Pass on what a spool holds so far.

        Self-access capabilities are valid only until OPEN returns, so a content that is made with
        them is passed on only when it is complete.
        """
        if not self._current.request.self_capabilities:
            self._sender.partial(spool)

    def machine(self, viewer: Viewer) -> Machine:
        """The facts for decoding."""
        return self._roots.facts.machine(self._current.request.namespaces, named=viewer.named)

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> Snapshot:
        """What a view or an index is made from."""
        request, roots = self._current.request, self._roots
        machine = self.machine(viewer)
        if settings.is_stamped():
            host = host_name() if self._host is None else self._host
            machine = replace(machine, stamp=roots.facts.stamp(host))
        # Any other worker would tell a requester with all rights of this process, tracing among
        # them, the same about it.
        equal = self._credentials.equals(request.identity)
        peer = self._no_peer if equal else self._peer
        added = request.self_capabilities & ~request.identity.capabilities
        return Snapshot(
            view,
            suffix,
            machine,
            viewer.pid,
            peer,
            roots.root,
            roots.own,
            Rights(
                _Refused if viewer.alone else lambda: self._credentials.without(added),
                partial(perf_event, self._credentials, request.identity),
                self._kept.of((request.identity, request.namespaces, viewer, added)),
                self._resting,
                lambda: self._credentials.without(added),
                b"" if equal else self._number,
            ),
            self._note,
            parser=self._parsers.of(request.identity) if self._parsers else None,
        )

    def _resting(self) -> AbstractContextManager[None]:
        """A part of an operation in which the first thread has its own identity."""
        first = threading.get_ident() == self._first
        return self._current.resting() if first else nullcontext()

    def _abandon(self, threads: int) -> None:
        self._abandoned += threads


def _is_about_many(operation: AnyOperation) -> bool:
    """Whether an operation asks about all processes."""
    if isinstance(operation, MakeView):
        return is_joined(operation.view)
    if isinstance(operation, ListEntries):
        return operation.hides
    return isinstance(operation, MakeTable | CheckLink)


class _Refused:
    """No part of a scope: what would be read in it is hidden from the requester."""

    def __enter__(self) -> None:
        raise error(errno.ENOENT)

    def __exit__(self, *_: object) -> None:
        """Nothing was begun."""


def _number(root: int) -> bytes:
    """The number of this process in the mirrored procfs; empty if it has none there."""
    try:
        return os.readlink(b"self", dir_fd=root)
    except OSError:
        return b""
