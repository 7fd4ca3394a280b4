"""A worker process.

Single-threaded, killable, carries out one operation at a time in the requester's name.

Workers come from one forking process, made before /dev/fuse is open, so that none of them can keep
a dead mount alive. They end with it, and with their socket. The messages are msgpack over
SOCK_SEQPACKET, descriptors beside them.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any, NoReturn

import msgspec

from procmirror.decode.view import DecodeError
from procmirror.identity import linux
from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import Identity
from procmirror.mirror import index_query, tree
from procmirror.procfs import proc
from procmirror.procfs.machine import Facts, host_name
from procmirror.procfs.reading import PeerReader, Question, answer

# Room for 65,536 groups, the most a requester can have, and for a READ of the most that FUSE asks
# for.
MESSAGE = 1 << 19
INLINE = 96 << 10
_HEARTBEAT = 0.5
# How often a reader hears that there is more of what is being made, from when he asks on: each time
# wakes the daemon, and him.
_TELLING = 0.02
# How many pieces writev(2) takes at once (include/uapi/linux/uio.h).
_IOV_MAX = 1024
_SO_SNDBUFFORCE = 32
# What a worker may take for one view; what needs more is refused with ENOMEM.
_MEMORY = 512 << 20
# The longest answer that is no content: the table of an index.
_LARGEST = 32 << 20
# By how many KiB a worker may have grown to be kept.
_GROWN = 16 << 10
PROGRESS, DONE, ITSELF, SPOOLED, PART, ASK = -1, 0, -2, -3, -4, -5


class Work(msgspec.Struct, array_like=True, frozen=True):
    """One operation: what, as whom, on which process (its number in SOURCE), where.

    Directory or file are sent beside it.
    """

    verb: str
    identity: Identity
    bonus: int = 0
    target: bytes = b""
    path: bytes = b""
    traits: str = ""
    offset: int = 0
    size: int = 0
    view: tuple[str, str] = ("", "")
    myself: bytes | None = None
    named: bool = True
    namespaces: dict[str, str] = {}
    space: int = 0
    flags: int = 0
    data: bytes = b""
    owner: tuple[int, int] | None = None
    times: tuple[int, int] | None = None


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """DONE with a result, an errno with a reason for the log, PROGRESS, ITSELF (ask another), or SPOOLED into a descriptor.

    Before SPOOLED come PARTs, the first with the descriptor: so many bytes are there already. With
    ASK a worker wants to have the work in the result done by another, about itself. `grown`: the
    worker has become large and is better let go.
    """

    code: int
    result: Any = None
    grown: bool = False


class Birth(msgspec.Struct, array_like=True, frozen=True):
    """What the forking process is asked for.

    A worker, in namespaces whose descriptors follow in this order.

    It answers `serial` and a number: minus the worker's pid, with two descriptors, or an errno.
    """

    serial: int
    identity: Identity
    kinds: tuple[str, ...] = ()


encode = msgspec.msgpack.Encoder().encode
decode_work = msgspec.msgpack.Decoder(Work).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
decode_questions = msgspec.msgpack.Decoder(list[Question]).decode
_decode_birth = msgspec.msgpack.Decoder(Birth).decode


def make_room(channel: socket.socket) -> None:
    """Let a message of the largest size into a socket, whatever the system's limit, where this process may."""
    try:
        channel.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * MESSAGE)
    except OSError:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE)


class Home:
    """What every worker has: the two procfs descriptors and the facts."""

    def __init__(self, root: int, own: int) -> None:
        self.root = root
        self.own = own
        self.facts = Facts(root)


def fork_workers(channel: socket.socket, home: Home) -> NoReturn:
    """Fork a worker for every message of `channel`; end with it."""
    linux.close_all_but({0, 1, 2, channel.fileno(), home.root, home.own})
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    linux.die_with_parent()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, MESSAGE, 16)
        if not message:
            os._exit(0)
        _bear(channel, home, _decode_birth(message), descriptors)


def _bear(channel: socket.socket, home: Home, birth: Birth, descriptors: list[int]) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid = os.fork()
    except OSError as refused:
        ours.close()
        theirs.close()
        channel.send(encode((birth.serial, refused.errno or errno.EAGAIN)))
        for descriptor in descriptors:
            os.close(descriptor)
        return
    if pid == 0:
        channel.close()
        ours.close()
        _live(theirs, home, birth, descriptors)
    theirs.close()
    try:
        watch = os.pidfd_open(pid)
        socket.send_fds(channel, [encode((birth.serial, -pid))], [ours.fileno(), watch])
        os.close(watch)
    except OSError as lost:
        channel.send(encode((birth.serial, lost.errno or errno.EIO)))
    ours.close()
    for descriptor in descriptors:
        os.close(descriptor)


def _live(channel: socket.socket, home: Home, birth: Birth, descriptors: list[int]) -> NoReturn:
    try:
        linux.die_with_parent()
        make_room(channel)
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        # Who writes to autogroup is judged by this limit of the writing process, which is ours and
        # not his.
        resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
        credentials = Credentials()
        # A stream is named after the machine that it comes from: a container that reads it has a
        # name of its own.
        host = host_name() if "uts" in birth.kinds else None
        if descriptors:
            credentials.become(birth.identity, dict(zip(birth.kinds, descriptors, strict=True)))
            for descriptor in descriptors:
                os.close(descriptor)
        Worker(channel, home, credentials, host).serve()
    except OSError as refused:
        _last_words(channel, refused)
    finally:
        os._exit(0)


def _last_words(channel: socket.socket, refused: OSError) -> None:
    try:
        channel.send(encode(Reply(refused.errno or errno.EIO, str(refused))))
    except OSError:
        return


class Worker:
    """The serving side of one worker's socket.

    `host` is the daemon's host name where this process has another by now.
    """

    def __init__(
        self, channel: socket.socket, home: Home, credentials: Credentials, host: str | None
    ) -> None:
        self._channel = channel
        self._home = home
        self._credentials = credentials
        self._host = host
        self._spoke = 0.0
        self._born = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._number = _number(home.root)
        self._identity = credentials.rest
        self._bonus = 0
        self._turn = 0
        self._first = threading.get_ident()
        self._asking = threading.Lock()
        # How many threads of walks still hang here.
        self._abandoned = 0
        self._peer = PeerReader(
            self._number, self._ask_another, self._acting, self._resting, self._abandon
        )
        self._no_peer = self._peer._replace(number=b"")
        self._verbs: dict[str, Callable[[Work, list[int]], Any]] = {
            "attributes": lambda work, at: proc.attributes(at[0], work.path),
            "link": lambda work, at: proc.link(at[0], work.path),
            "access": lambda work, at: proc.access(at[0], work.path, work.size),
            "entries": lambda work, at: tree.entries(at[0], work.path, work.traits),
            "open": self._open,
            "read": lambda work, at: proc.read(at[0], work.offset, work.size),
            "write": self._write,
            "touch": lambda work, at: proc.touch(at[0], work.path, work.owner, work.times),
            "view": self._view,
            "answers": lambda work, at: [
                answer(at[0], one, self._progress) for one in decode_questions(work.data)
            ],
            "table": lambda work, _: index_query.table(self._wanted(work), self._progress),
            "stands": lambda work, _: index_query.stands(
                work.path, self._wanted(work), self._progress
            ),
        }

    def serve(self) -> None:
        """Answer until the other side goes away."""
        while True:
            message, descriptors, _, _ = socket.recv_fds(self._channel, MESSAGE, 4)
            if not message:
                return
            try:
                self._answer(decode_work(message), descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _answer(self, work: Work, descriptors: list[int]) -> None:
        if work.target and (work.target == self._number or self._has_thread(work.target)):
            self._channel.send(encode(Reply(ITSELF)))
            return
        self._spoke = time.monotonic()
        self._identity, self._bonus = work.identity, work.bonus
        try:
            with self._acting():
                linux.die_with_parent()
                try:
                    result = self._verbs[work.verb](work, descriptors)
                finally:
                    self._turn += 1
        except OSError as refused:
            reply = Reply(refused.errno or errno.EIO, None, self._grown())
        except DecodeError as unknown:
            reply = Reply(errno.EIO, str(unknown), self._grown())
        except MemoryError:
            reply = Reply(errno.ENOMEM, None, grown=True)
        else:
            self._deliver(result)
            return
        self._channel.send(encode(reply))

    def _has_thread(self, number: bytes) -> bool:
        """Whether a number in SOURCE is that of another thread of this process."""
        if threading.active_count() == 1 or not self._number:
            return False
        try:
            os.stat(b"%s/task/%s" % (self._number, number), dir_fd=self._home.root)
        except OSError:
            return False
        return True

    def _deliver(self, result: Any) -> None:
        if isinstance(result, Descriptor):
            socket.send_fds(self._channel, [encode(Reply(DONE, result.ahead))], [result.number])
            os.close(result.number)
        elif isinstance(result, Spool):
            self._spooled(result, Reply(SPOOLED, result.size, self._grown()))
            os.close(result.number)
        else:
            message = encode(Reply(DONE, result, bool(self._abandoned)))
            if len(message) < MESSAGE - 1024:
                self._channel.send(message)
                return
            if len(message) > _LARGEST:
                self._channel.send(encode(Reply(errno.ENFILE, None, grown=True)))
                return
            spool = Spool(len(message))
            spool.add([message])
            self._deliver(spool)

    def _abandon(self, threads: int) -> None:
        self._abandoned += threads

    def _acting(self) -> AbstractContextManager[None]:
        """The time in which a thread is the requester of the present work."""
        return self._credentials.acting_as(self._identity, self._bonus)

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """A part of that time in which the first thread is itself.

        The requester again only if it is the same work still.
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
        """What another worker is told, as whom this one acts."""
        # A thread that was given up may wait for its answer still: that must not become another's.
        if not self._asking.acquire(blocking=False):
            return [errno.EBUSY] * len(questions)
        try:
            work = Work("answers", self._identity, data=encode(questions))
            with self._resting() if threading.get_ident() == self._first else nullcontext():
                self._channel.send(encode(Reply(ASK, encode(work))))
                message = self._channel.recv(MESSAGE)
        finally:
            self._asking.release()
        reply = decode_reply(message) if message else Reply(errno.EIO)
        if reply.code == errno.EFBIG and len(questions) > 1:
            return [self._ask_another([one])[0] for one in questions]
        return [reply.code] * len(questions) if reply.code else list(reply.result)

    def _spooled(self, spool: Spool, reply: Reply) -> None:
        """Tell how far a spool has grown; its descriptor goes with the first word of it."""
        socket.send_fds(self._channel, [encode(reply)], [] if spool.known else [spool.number])
        spool.known = True
        self._spoke = time.monotonic()

    def _grown(self) -> bool:
        return (
            bool(self._abandoned)
            or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > self._born + _GROWN
        )

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._spoke > _HEARTBEAT:
            self._spoke = now
            self._channel.send(encode(Reply(PROGRESS)))

    def _open(self, work: Work, at: list[int]) -> Descriptor:
        """An open file, and its first bytes if they were asked for.

        They are as good as a READ that comes at once.
        """
        descriptor = proc.open_file(at[0], work.path, work.flags)
        ahead = None
        if work.size:
            with suppress(OSError):
                content = proc.read(descriptor, 0, work.size)
                ahead = (
                    content,
                    len(content) < work.size and not os.pread(descriptor, 1, len(content)),
                )
        return Descriptor(descriptor, ahead)

    def _write(self, work: Work, at: list[int]) -> int:
        """To the first descriptor; bytes that no message has room for are in the second."""
        return proc.write(
            at[0], os.pread(at[1], work.size, 0) if len(at) > 1 else work.data, work.offset
        )

    def _wanted(self, work: Work) -> tree.Snapshot:
        machine = self._home.facts.machine(work.namespaces, named=work.named)
        if tree.formats.stamped:
            machine = replace(
                machine,
                stamp=self._home.facts.stamp(host_name() if self._host is None else self._host),
            )
        # Who has every right that this process has, tracing among them, would be told the same of
        # it by any other.
        peer = self._no_peer if self._credentials.equals(work.identity) else self._peer
        return tree.Snapshot(
            *work.view, machine, work.myself, peer, self._home.root, self._home.own
        )

    def _view(self, work: Work, at: list[int]) -> bytes | Spool:
        # What is added for who looks at himself is for the time of his OPEN, in which he cannot
        # become another.
        grown = (
            _unsaid if work.bonus else lambda spool: self._spooled(spool, Reply(PART, spool.size))
        )
        with closing(tree.snapshot(at[0], work.path, self._wanted(work), self._progress)) as made:
            return collected(made, work.space, grown)


class Descriptor:
    """A result that is an open file, with its first bytes and whether they are all, where these were read ahead."""

    def __init__(self, number: int, ahead: tuple[bytes, bool] | None) -> None:
        self.number = number
        self.ahead = ahead


class Spool:
    """A file in memory that grows to at most `space` bytes; ENFILE beyond."""

    def __init__(self, space: int) -> None:
        self.number = os.memfd_create("procmirror", os.MFD_CLOEXEC)
        self.size = 0
        self.known = False
        self._space = space

    def add(self, pieces: Sequence[bytes]) -> None:
        """Append."""
        for at in range(0, len(pieces), _IOV_MAX):
            some = pieces[at : at + _IOV_MAX]
            size = sum(map(len, some))
            self.size += size
            if self.size > self._space:
                raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))
            written = os.writev(self.number, some)
            if written < size:
                rest = memoryview(b"".join(some))[written:]
                while rest:
                    rest = rest[os.write(self.number, rest) :]


def _unsaid(_: Spool) -> None:
    """Nobody hears of it before it is whole."""


def collected(
    pieces: Iterator[bytes], space: int, grown: Callable[[Spool], None] = _unsaid
) -> bytes | Spool:
    """The whole content: as bytes while it is small, else spooled.

    `grown` hears of the spool while it grows, now and then.
    """
    held: list[bytes] = []
    size = 0
    spool: Spool | None = None
    told = time.monotonic()
    try:
        for piece in pieces:
            held.append(piece)
            size += len(piece)
            if size > INLINE:
                spool = spool or Spool(space)
                spool.add(held)
                held, size = [], 0
                now = time.monotonic()
                if now - told > _TELLING:
                    told = now
                    grown(spool)
        if spool is None:
            return b"".join(held)
        spool.add(held)
    except BaseException:
        if spool is not None:
            os.close(spool.number)
        raise
    return spool


def _number(root: int) -> bytes:
    """This process's number in SOURCE, empty where it has none."""
    try:
        return os.readlink(b"self", dir_fd=root)
    except OSError:
        return b""
