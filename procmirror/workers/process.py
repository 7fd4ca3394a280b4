"""A worker process: single-threaded, killable, one operation at a time as the requester."""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from procmirror.decoding.view import DecodeError, Machine
from procmirror.identity import linux
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import error
from procmirror.identity.events import perf_event
from procmirror.identity.namespaces import outermost_user_namespace
from procmirror.mirror import settings
from procmirror.mirror.snapshot import Snapshot, is_joined
from procmirror.procfs.machine import Facts, host_name
from procmirror.procfs.mapped import Rights
from procmirror.procfs.peer import PeerReader, Question
from procmirror.procfs.read_note import NoNote, ReadNote
from procmirror.workers.operation import Viewer
from procmirror.workers.operations import (
    Answer,
    CheckLink,
    MakeTable,
    MakeView,
    Open,
    Opened,
)
from procmirror.workers.parser_client import Parsers
from procmirror.workers.protocol import (
    DONE,
    LONG,
    MESSAGE_BYTES,
    PARTIAL,
    PROGRESS,
    SPOOLED,
    SUBREQUEST,
    TARGET_IS_SELF,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode,
)
from procmirror.workers.spool import Spool

_PROGRESS_SECONDS = 0.5
# The room for the most descriptors that come with a message.
_ROOM_BESIDE = socket.CMSG_SPACE(4 * 4)
# The longest answer in bytes that is no content: the table of an index.
_ANSWER_BYTES = 32 << 20
# The growth in KiB up to which a worker is used again.
_GROWTH_KIB = 16 << 10


class ProcRoots:
    """What every worker shares: two procfs descriptors, and the facts of the machine."""

    def __init__(self, root: int, own: int) -> None:
        self.root = root
        self.own = own
        self.facts = Facts(root)
        self._user_namespace = os.stat("self/ns/user", dir_fd=own).st_ino
        self._user_link = b"user:[%d]" % self._user_namespace

    def is_owned(self, target: bytes, uid: int) -> bool:
        """Whether a user owns the user namespace that a process is in.

        The kernel gives the owner all rights there, judged by the effective user id (cap_capable).
        `target` is the number of the process in the mirrored procfs.
        """
        try:
            if os.readlink(b"%s/ns/user" % target, dir_fd=self.root) == self._user_link:
                return False
            outermost = outermost_user_namespace(self.root, int(target), self._user_namespace)
        except (OSError, ValueError):
            return False
        return outermost[1] == uid

    def owns_any(self, uid: int) -> bool:
        """Whether a user owns the user namespace that any process is in, by `is_owned`.

        Links are read, which takes a hundredth of what a view of all processes reads of each.
        """
        seen = {self._user_link.decode()}
        for name in os.listdir(self.root):
            if not name.isdigit():
                continue
            try:
                link = os.readlink(f"{name}/ns/user", dir_fd=self.root)
            except OSError:
                continue
            if link not in seen:
                seen.add(link)
                if self.is_owned(name.encode(), uid):
                    return True
        return False


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
        parsers: Parsers | None = None,
    ) -> None:
        self._channel = channel
        self._note = note
        self._roots = roots
        self._credentials = credentials
        self._host = host
        self._parsers = parsers
        self._spoke = 0.0
        self._initial_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._number = _number(roots.root)
        self._request = Request(Answer([]), credentials.rest)
        self._whole = False
        self._turn = 0
        self._first = threading.get_ident()
        self._asking = threading.Lock()
        # The number of threads of walks that still hang here.
        self._abandoned = 0
        self._peer = PeerReader(
            self._number, self._ask_another, self._acting, self._resting, self._abandon
        )
        self._no_peer = self._peer._replace(number=b"")

    def serve(self) -> None:
        """Answer requests until the daemon closes the socket."""
        room = memoryview(bytearray(MESSAGE_BYTES))
        while True:
            # Into the same room each time: to have half a MiB made for each message takes longer
            # than the rest of it.
            size, beside, _, _ = self._channel.recvmsg_into([room], _ROOM_BESIDE)
            if not size:
                return
            descriptors = array("i", b"".join(data for _, _, data in beside))
            try:
                self._answer(decode_request(room[:size]), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _answer(self, request: Request, descriptors: Sequence[int]) -> None:
        if request.target and (request.target == self._number or self._has_thread(request.target)):
            self._channel.send(encode(Reply(TARGET_IS_SELF)))
            return
        self._spoke = time.monotonic()
        self._request = request
        self._whole = self._depends_on_euid(request)
        try:
            with self._acting():
                linux.die_with_parent()
                try:
                    result = request.operation.run(descriptors, self)
                finally:
                    self._turn += 1
        except OSError as refused:
            reply = Reply(refused.errno or errno.EIO, None, self._outgrown())
        except DecodeError as unknown:
            reply = Reply(errno.EIO, str(unknown), self._outgrown())
        except MemoryError:
            reply = Reply(errno.ENOMEM, None, retire=True)
        else:
            self._deliver(result)
            return
        self._channel.send(encode(reply))

    def _depends_on_euid(self, request: Request) -> bool:
        """Whether the kernel uses the effective user id for more than whether it is root's.

        It does if the requester owns a user namespace; and a file opened for writing may remember
        the opener's id (uid_map). Whoever has the effective id of this process may change how it
        runs, so the process is not used again.
        """
        euid, operation = request.identity.effective[0], request.operation
        if not euid or not self._credentials.privileged:
            return False
        if isinstance(operation, Open) and operation.flags:
            return True
        if request.target:
            return self._roots.is_owned(request.target, euid)
        joined = isinstance(operation, MakeTable | CheckLink) or (
            isinstance(operation, MakeView) and is_joined(operation.view)
        )
        return joined and self._roots.owns_any(euid)

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
            message = encode(Reply(DONE, result.readahead, self._whole))
            socket.send_fds(self._channel, [message], [result.number])
            os.close(result.number)
        elif isinstance(result, Spool):
            self._send_spool(result, Reply(SPOOLED, result.size, self._outgrown()))
            os.close(result.number)
        else:
            retire = bool(self._abandoned) or self._whole
            message = encode(Reply(DONE, result, retire))
            if len(message) < MESSAGE_BYTES - 1024:
                self._channel.send(message)
                return
            if len(message) > _ANSWER_BYTES:
                self._channel.send(encode(Reply(errno.ENFILE, None, retire=True)))
                return
            spool = Spool(len(message))
            spool.add([message])
            self._send_spool(spool, Reply(LONG, spool.size, self._outgrown()))
            os.close(spool.number)

    def _send_spool(self, spool: Spool, reply: Reply) -> None:
        """Report how far a spool has grown; the first report brings its descriptor."""
        socket.send_fds(self._channel, [encode(reply)], [] if spool.sent else [spool.number])
        spool.sent = True
        self._spoke = time.monotonic()

    def _outgrown(self) -> bool:
        """Whether to replace this process: for its size, or for threads that never ended."""
        return (
            bool(self._abandoned)
            or self._whole
            or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > self._initial_kib + _GROWTH_KIB
        )

    # The context of an operation

    @property
    def own(self) -> int:
        """A procfs in which this process is `self`."""
        return self._roots.own

    def progress(self) -> None:
        """Report now and then that the operation still makes progress."""
        now = time.monotonic()
        if now - self._spoke > _PROGRESS_SECONDS:
            self._spoke = now
            self._channel.send(encode(Reply(PROGRESS)))

    def grown(self, spool: Spool) -> None:
        """Pass on what a spool holds so far.

        Self-access capabilities are valid only until OPEN returns, so a content that is made with
        them is passed on only when it is complete.
        """
        if not self._request.self_capabilities:
            self._send_spool(spool, Reply(PARTIAL, spool.size))

    def machine(self, viewer: Viewer) -> Machine:
        """The facts for decoding."""
        return self._roots.facts.machine(self._request.namespaces, named=viewer.named)

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> Snapshot:
        """What a view or an index is made from."""
        request, roots = self._request, self._roots
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
            ),
            self._note,
            parser=self._parsers.of(request.identity) if self._parsers else None,
        )

    # Questions about this process

    def _abandon(self, threads: int) -> None:
        self._abandoned += threads

    def _acting(self) -> AbstractContextManager[None]:
        """A scope in which a thread acts as the requester of the present operation."""
        request = self._request
        return self._credentials.acting_as(
            request.identity, request.self_capabilities, whole=self._whole
        )

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """A part of that scope in which the first thread has its own identity.

        At its end the thread acts as the requester again, unless the operation has ended.
        """
        scope, turn = self._acting(), self._turn
        scope.__exit__(None, None, None)
        linux.die_with_parent()
        try:
            yield
        finally:
            if turn == self._turn:
                scope.__enter__()
                linux.die_with_parent()

    def _ask_another(self, questions: Sequence[Question]) -> Sequence[Any]:
        """Have another worker answer questions about this process, as the present requester."""
        # An abandoned thread may still wait for its answer, which must not be taken for that to
        # another question.
        if not self._asking.acquire(blocking=False):
            return [errno.EBUSY] * len(questions)
        try:
            request = Request(Answer(list(questions)), self._request.identity)
            with self._resting() if threading.get_ident() == self._first else nullcontext():
                self._channel.send(encode(Reply(SUBREQUEST, encode(request))))
                message = self._channel.recv(MESSAGE_BYTES)
        finally:
            self._asking.release()
        reply = decode_reply(message) if message else Reply(errno.EIO)
        if reply.code == errno.EFBIG and len(questions) > 1:
            return [self._ask_another([question])[0] for question in questions]
        return [reply.code] * len(questions) if reply.code else list(reply.result)


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
