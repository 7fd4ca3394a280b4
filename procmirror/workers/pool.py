"""The daemon's side of its workers.

Who gets one, for how long, and what happens when it does not come back.

A process can make whoever reads it wait for ever (its memory lock held, an exec that does not end),
and a requester cannot even be killed before the daemon has answered. So each wait has a deadline,
each lock of each target at most a few workers, each account a share, and a worker that does not
come back is killed; one that cannot be killed is paid for by the account that caused it
(`LostWorkers`).
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import socket
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import trio

from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import Identity
from procmirror.workers import forkserver
from procmirror.workers.lost import LostWorkers
from procmirror.workers.process import ProcRoots
from procmirror.workers.protocol import (
    DONE,
    MESSAGE_BYTES,
    PARTIAL,
    PROGRESS,
    SPOOLED,
    SUBREQUEST,
    TARGET_IS_SELF,
    Reply,
    Request,
    SpawnRequest,
    decode_reply,
    decode_request,
    decode_spawned,
    encode,
    make_room,
)
from procmirror.workers.stream import Stream

log = logging.getLogger("procmirror")

MOST = 34
MOST_LATE = 24
MOST_LATE_OF_ACCOUNT = 16
MOST_HELPERS_OF_ACCOUNT = 4
# For so long a killed worker that does not end takes the place of another.
LOST = 1.0
# Of how many requests an account may have to wait for at a time: each takes one of the loop's
# places.
MOST_WAITING_OF_ACCOUNT = 400
LATE = 0.25
# For how many seconds a view may be waited for without trio, while nobody else wants anything: what
# most of them take.
QUIET = 0.02
PAUSE = 0.01
SUSPICIOUS = 0.05
# For so long after somebody waited in vain nobody else has to: the kernel sends the lookups of one
# directory one by one.
AGAIN = 1.0
# For so long everybody waits LATE only, to see whether the lock is free again: a walk over a stuck
# process has to end.
REMEMBERED = 60.0
IDLE = 10.0
READY = 2
TOTAL = 60.0


# Placement each message is received: it is decoded before anything else can run.
_message = bytearray(MESSAGE_BYTES)


class Result:
    """What a worker gave back: a value, and a descriptor where the result is or is in one.

    With a stream while it is made.
    """

    __slots__ = ("descriptor", "stream", "value")

    def __init__(self, value: Any, descriptor: int = -1, stream: Stream | None = None) -> None:
        self.value = value
        self.descriptor = descriptor
        self.stream = stream


def payload(result: Result) -> Any:
    """The value.

    One too large for a message lies in a spool, as the message that it would have been.
    """
    if result.descriptor < 0:
        return result.value
    with open(result.descriptor, "rb") as spool:
        spool.seek(0)
        return decode_reply(spool.read()).result


class Placement:
    """Whose work it is and in which namespaces it has to be done.

    Found out while he waits, for as long as it is needed.

    A READ comes long after its OPEN, when the opener may be gone and his number another's; what is
    done for such a request holds the namespaces themselves.
    """

    __slots__ = ("account", "differing", "identity", "opened", "tid")

    def __init__(
        self, tid: int, identity: Identity, account: int, differing: dict[str, str]
    ) -> None:
        self.tid = tid
        self.identity = identity
        self.account = account
        self.differing = differing
        self.opened: dict[str, int] = {}

    def key(self) -> Hashable:
        """What a worker must have joined, and whom it must be, to do this work."""
        if not self.differing:
            return ()
        return (
            self.identity if "user" in self.differing else None,
            *sorted(self.differing.items()),
        )

    def hold(self, own: int) -> None:
        """Open the namespaces, and see that they are still those that were found.

        Unanswered(EACCES) if not.
        """
        try:
            for kind, link in self.differing.items():
                path = b"%d/ns/%s" % (self.tid, kind.encode())
                self.opened[kind] = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=own)
                if f"{kind}:[{os.fstat(self.opened[kind]).st_ino}]" != link:
                    raise PermissionError(errno.EACCES, "it is in other namespaces by now")
        except OSError as refused:
            self.release()
            raise Unanswered(
                errno.EACCES, f"cannot enter the namespaces of requester {self.tid}"
            ) from refused

    def release(self) -> None:
        """Close the namespaces."""
        for descriptor in self.opened.values():
            os.close(descriptor)
        self.opened = {}


IN_DAEMON = Placement(0, Identity(0, 0, (), 0), 0, {})


class _Hand:
    """One worker process as the daemon holds it."""

    __slots__ = ("account", "asked", "channel", "poll", "since", "watch")

    def __init__(self, channel: socket.socket, watch: int) -> None:
        self.account: int | None = None
        # About which process, and by which account, it was asked last.
        self.asked = (b"", 0)
        make_room(channel)
        self.channel = channel
        self.watch = watch
        self.since = 0.0
        poller = select.poll()
        poller.register(channel, select.POLLIN)
        self.poll = poller.poll

    def receive(self) -> tuple[Reply, int]:
        """One message that is there; EIO if the process is not."""
        size, ancillary, _, _ = self.channel.recvmsg_into([_message], socket.CMSG_SPACE(4))
        descriptor = -1
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS and len(data) >= 4:
                descriptor = int.from_bytes(data[:4], "little", signed=True)
        if not size:
            raise Unanswered(errno.EIO, "the worker is gone")
        return decode_reply(memoryview(_message)[:size]), descriptor


class _Wait:
    """How many operations are on one lock of one target, and an event that ends each time one of them does."""

    __slots__ = ("changed", "flying", "lost", "patience", "since")

    def __init__(self) -> None:
        self.flying = 0
        self.lost = 0
        self.since = 0.0
        self.patience = 0.0
        self.changed = trio.Event()


class Workers:
    """All workers of one daemon.

    `timeout` is for how many seconds a request waits at most, `quiet(descriptor, seconds)` a way to
    wait for a descriptor as long as nobody else wants anything, False where it did not come to
    that.
    """

    def __init__(
        self,
        roots: ProcRoots,
        timeout: float,
        quiet: Callable[[int, float], bool] = lambda *_: False,
    ) -> None:
        self._roots = roots
        self._timeout = timeout
        self._quiet = quiet
        self._idle: dict[Hashable, list[_Hand]] = {}
        self._helpers: dict[int, int] = {}
        self._count = 0
        self._late = 0
        self._late_of: dict[int, int] = {}
        self._lost_workers = LostWorkers(roots.root, roots.own)
        self._births = 0
        self._waits: dict[Hashable, _Wait] = {}
        self._waiting: dict[int, int] = {}
        self._stuck: dict[Hashable, float] = {}
        self._forge = self._start()
        self._forging = trio.Lock()
        self._nursery: trio.Nursery | None = None

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._forge_pid = os.fork()
        if self._forge_pid == 0:
            try:
                ours.close()
                forkserver.serve(theirs, self._roots)
            finally:
                os._exit(1)
        theirs.close()
        return ours

    def _start_again(self) -> None:
        self._forge.close()
        with suppress(OSError):
            os.kill(self._forge_pid, signal.SIGKILL)
            os.waitpid(self._forge_pid, 0)
        self._forge = self._start()

    async def run(self, nursery: trio.Nursery) -> None:
        """Keep a few workers ready and send home those that have nothing to do."""
        self._nursery = nursery
        for _ in range(READY):
            self._free((), await self._bear(None, {}))
        while True:
            await trio.sleep(IDLE / 4)
            self._retire()

    def _retire(self) -> None:
        now = trio.current_time()
        self._stuck = {lock: seen for lock, seen in self._stuck.items() if now - seen < REMEMBERED}
        for key, hands in list(self._idle.items()):
            keep = READY if key == () else 0
            while len(hands) > keep and now - hands[0].since > IDLE:
                self._dismiss(hands.pop(0))
            if not hands and key != ():
                del self._idle[key]

    def _dismiss(self, hand: _Hand) -> None:
        hand.channel.close()
        os.close(hand.watch)
        self._gone(hand)

    def _gone(self, hand: _Hand) -> None:
        self._count -= 1
        if hand.account is not None:
            self._helpers[hand.account] -= 1
            if not self._helpers[hand.account]:
                del self._helpers[hand.account]

    async def _bear(self, identity: Identity | None, namespaces: dict[str, int]) -> _Hand:
        """A new worker; Unanswered if the kernel does not give one.

        Nobody who loses interest leaves an answer behind for the next, who would get a worker in
        another's namespaces.
        """
        # Whoever asks may close his own while this waits for its turn.
        namespaces = _copied(namespaces)
        self._count += 1
        try:
            with trio.CancelScope(shield=True):
                async with self._forging:
                    hand = await self._forged(identity or Identity(0, 0, (), 0), namespaces)
        except OSError as lost:
            self._count -= 1
            if not isinstance(lost, Unanswered):
                log.warning("the forking process is gone; starting another")
                self._start_again()
            raise Unanswered(errno.EIO, "no worker") from lost
        except BaseException:
            self._count -= 1
            raise
        finally:
            for descriptor in namespaces.values():
                os.close(descriptor)
        return hand

    async def _forged(self, identity: Identity, namespaces: dict[str, int]) -> _Hand:
        """The worker that the forking process gives as the answer to this very question."""
        self._births += 1
        birth = SpawnRequest(self._births, identity, tuple(namespaces))
        socket.send_fds(self._forge, [encode(birth)], list(namespaces.values()))
        await trio.lowlevel.wait_readable(self._forge)
        message, descriptors, _, _ = socket.recv_fds(self._forge, MESSAGE_BYTES, 2)
        serial, answer = decode_spawned(message) if message else (0, 0)
        if serial != self._births:
            for descriptor in descriptors:
                os.close(descriptor)
            raise ConnectionError("the forking process ended, or answers another question")
        if answer >= 0 or len(descriptors) < 2:
            for descriptor in descriptors:
                os.close(descriptor)
            raise Unanswered(answer or errno.EIO, "no worker")
        return _Hand(socket.socket(fileno=descriptors[0]), descriptors[1])

    def _free(self, key: Hashable, hand: _Hand) -> None:
        hand.since = trio.current_time()
        self._idle.setdefault(key, []).append(hand)

    async def call(
        self, request: Request, descriptors: list[int], placement: Placement, lock: Hashable
    ) -> Result:
        """Have a request done; OSError as the kernel raised it there, Unanswered if nobody could ask.

        `lock` names what the work may have to wait for. Who is in other namespaces can stop the
        worker that is in them too: what he waits for keeps nobody else waiting. A large content
        comes as a result whose stream the worker still makes.
        """
        self._lost_workers.refuse(request.target, placement.account)
        with self.waiting(placement.account):
            return await self._called(request, descriptors, placement, lock)

    @contextmanager
    def waiting(self, account: int) -> Iterator[None]:
        """The time in which a request of an account waits; Unanswered(EBUSY) if too many of it do."""
        count = self._waiting.get(account, 0)
        if count >= MOST_WAITING_OF_ACCOUNT:
            raise Unanswered(errno.EBUSY, "too many requests wait already")
        self._waiting[account] = count + 1
        try:
            yield
        finally:
            left = self._waiting[account] - 1
            if left:
                self._waiting[account] = left
            else:
                del self._waiting[account]

    async def pause(self) -> None:
        """Let others be served for a moment."""
        await trio.sleep(PAUSE)

    async def _called(
        self, request: Request, descriptors: list[int], placement: Placement, lock: Hashable
    ) -> Result:
        if placement.differing and lock is not None:
            lock = (lock, placement.key())
        wait = await self._turn(lock) if lock is not None else _Wait()
        wait.patience = self._patience(lock)
        with ExitStack() as until_done:
            until_done.enter_context(self._asking(wait, placement, lock))
            hand, reply, descriptor = await self._done(request, descriptors, placement, wait)
            if reply.code != PARTIAL:
                return _result(reply, descriptor)
            if descriptor < 0:
                self._lost(hand, wait, OSError())
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            assert self._nursery is not None
            stream = Stream(descriptor, reply.result)
            self._nursery.start_soon(
                self._followed, until_done.pop_all(), stream, hand, placement, wait
            )
            return Result(None, descriptor, stream)

    @contextmanager
    def _asking(self, wait: _Wait, placement: Placement, lock: Hashable) -> Iterator[None]:
        """The time in which somebody asks for what a lock may delay."""
        try:
            yield
        except Unanswered as unanswered:
            if unanswered.errno == errno.ETIMEDOUT and lock is not None and not placement.differing:
                self._stuck[lock] = trio.current_time()
            raise
        finally:
            wait.flying -= 1
            wait.since = trio.current_time()
            wait.changed.set()
            wait.changed = trio.Event()
            if not wait.flying and not wait.lost:
                self._waits.pop(lock, None)

    async def _followed(
        self, until_done: ExitStack, stream: Stream, hand: _Hand, placement: Placement, wait: _Wait
    ) -> None:
        """Hear of a content until it is whole, or is not wanted any more."""
        failed = True
        try:
            with until_done, stream.scope:
                reply, descriptor = await self._heard(hand, placement, wait, stream)
                self._let_go(placement.key(), hand, reply)
                if descriptor >= 0:
                    os.close(descriptor)
                if reply.code == SPOOLED:
                    stream.grow(reply.result)
                    failed = False
                elif reply.code > 0 and reply.result:
                    log.warning("%s", reply.result)
        except OSError as lost:
            log.warning("not finished: %s", lost.strerror)
        except Exception:
            log.exception("not finished")
        finally:
            stream.end(failed=failed)

    def _patience(self, lock: Hashable) -> float:
        """How long to wait.

        A moment only for what was waited for in vain within the last minute, which a view may need
        too.
        """
        memory = (lock[0], "memory") if isinstance(lock, tuple) else None
        seen = max(self._stuck.get(lock, -REMEMBERED), self._stuck.get(memory, -REMEMBERED))
        return LATE if trio.current_time() - seen < REMEMBERED else self._timeout

    async def _turn(self, lock: Hashable) -> _Wait:
        """Wait while somebody else already waits long for the same lock: one asks, the others hear."""
        if trio.current_time() - self._stuck.get(lock, -REMEMBERED) < AGAIN:
            raise Unanswered(errno.EBUSY, "it did not answer a moment ago")
        wait = self._waits.get(lock)
        if wait is None:
            wait = self._waits[lock] = _Wait()
        deadline = trio.current_time() + self._timeout
        while (
            wait.lost
            or (wait.flying and trio.current_time() - wait.since > SUSPICIOUS)
            or wait.flying > 3
        ):
            if wait.lost:
                raise Unanswered(errno.EBUSY, "its last reader still waits")
            with trio.move_on_at(deadline):
                await wait.changed.wait()
                continue
            raise Unanswered(errno.ETIMEDOUT, "others wait for the same")
        if not wait.flying:
            wait.since = trio.current_time()
        self._waits[lock] = wait
        wait.flying += 1
        return wait

    async def _done(
        self, request: Request, descriptors: list[int], placement: Placement, wait: _Wait
    ) -> tuple[_Hand, Reply, int]:
        """The worker that did it, or began to (PARTIAL), its answer, and a descriptor that came with it."""
        key = placement.key()
        avoided: list[_Hand] = []
        try:
            while True:
                hand = await self._hand(key, placement)
                reply, descriptor = await self._ask(hand, request, descriptors, placement, wait)
                if reply.code == TARGET_IS_SELF:
                    avoided.append(hand)
                    continue
                if reply.code != PARTIAL:
                    self._let_go(key, hand, reply)
                return hand, reply, descriptor
        finally:
            for hand in avoided:
                self._free(key, hand)

    def _let_go(self, key: Hashable, hand: _Hand, reply: Reply) -> None:
        """A worker that has answered is idle again, or sent home."""
        if reply.retire:
            self._dismiss(hand)
        else:
            self._free(key, hand)

    async def _hand(self, key: Hashable, placement: Placement) -> _Hand:
        if ready := self._idle_one(key):
            return ready
        deadline = trio.current_time() + self._timeout
        while self._count >= MOST and not self._evict():
            with trio.move_on_at(deadline):
                await trio.sleep(0.01)
                if ready := self._idle_one(key):
                    return ready
                continue
            raise Unanswered(errno.EBUSY, "all workers are busy")
        return await self._helper(placement) if placement.differing else await self._bear(None, {})

    def _idle_one(self, key: Hashable) -> _Hand | None:
        """An idle worker that still lives."""
        idle = self._idle.get(key, [])
        while idle:
            hand = idle.pop()
            if not hand.poll(0):
                return hand
            self._dismiss(hand)
        return None

    def _evict(self, account: int | None = None) -> bool:
        """End the worker that has been idle longest, of those that serve one key only (and are of this account)."""
        candidates = [
            (hand.since, at, hands)
            for key, hands in self._idle.items()
            if key != ()
            for at, hand in enumerate(hands)
            if account in {None, hand.account}
        ]
        if not candidates:
            return False
        _, at, hands = min(candidates, key=lambda one: one[0])
        self._dismiss(hands.pop(at))
        return True

    async def _helper(self, placement: Placement) -> _Hand:
        account = placement.account
        while self._helpers.get(account, 0) >= MOST_HELPERS_OF_ACCOUNT:
            if not self._evict(account):
                raise Unanswered(errno.EBUSY, "too many namespaces at a time")
        held = bool(placement.opened)
        if not held:
            placement.hold(self._roots.own)
        self._helpers[account] = self._helpers.get(account, 0) + 1
        try:
            hand = await self._bear(placement.identity, placement.opened)
        except BaseException:
            self._helpers[account] -= 1
            raise
        finally:
            if not held:
                placement.release()
        hand.account = account
        return hand

    async def _ask(
        self,
        hand: _Hand,
        request: Request,
        descriptors: list[int],
        placement: Placement,
        wait: _Wait,
    ) -> tuple[Reply, int]:
        """The worker's answer, or its first part; it is dead if there is none."""
        hand.asked = (request.target, placement.account)
        try:
            socket.send_fds(hand.channel, [encode(request)], descriptors)
            ready = not self._late and bool(hand.poll(1))
        except OSError as lost:
            self._lost(hand, wait, lost)
            raise Unanswered(errno.EIO, "the worker is gone") from lost
        return await self._heard(hand, placement, wait, None, ready=ready)

    async def _heard(
        self,
        hand: _Hand,
        placement: Placement,
        wait: _Wait,
        stream: Stream | None,
        *,
        ready: bool = False,
    ) -> tuple[Reply, int]:
        """The next answer that is not about progress.

        `stream` hears of that, and without one a part is an answer.
        """
        try:
            last = trio.current_time() + TOTAL
            while True:
                if not ready:
                    await self._patiently(hand, placement.account, wait.patience)
                ready = False
                reply, descriptor = hand.receive()
                if reply.code == PARTIAL and stream:
                    stream.grow(reply.result)
                elif reply.code == SUBREQUEST:
                    hand.channel.send(
                        encode(await self._asked(decode_request(reply.result), placement))
                    )
                elif reply.code != PROGRESS:
                    return reply, descriptor
                wait.since = trio.current_time()
                if wait.since > last:
                    raise Unanswered(errno.ETIMEDOUT, "the view takes too long")
        except (OSError, trio.Cancelled) as lost:
            self._lost(hand, wait, lost)
            if isinstance(lost, Unanswered | trio.Cancelled):
                raise
            raise Unanswered(errno.EIO, "the worker is gone") from lost

    async def _asked(self, request: Request, placement: Placement) -> Reply:
        """What another worker in the same place answers."""
        wait = _Wait()
        wait.patience = self._timeout
        try:
            _, reply, descriptor = await self._done(request, [self._roots.root], placement, wait)
        except OSError as unanswered:
            return Reply(unanswered.errno or errno.EIO)
        if descriptor >= 0:
            os.close(descriptor)
            return Reply(errno.EFBIG)
        return reply

    def _lost(self, hand: _Hand, wait: _Wait, lost: BaseException) -> None:
        """End a worker from which nothing more will come or is wanted.

        Only one that did not answer in time holds up who wants the same lock.
        """
        late = isinstance(lost, OSError) and lost.errno in {errno.ETIMEDOUT, errno.EBUSY}
        self._kill(hand, wait if late else _Wait())

    async def _patiently(self, hand: _Hand, account: int, patience: float) -> None:
        """Wait for the worker to say something; one that is late counts against its account."""
        if self._quiet(hand.channel.fileno(), min(QUIET, patience)):
            return
        with trio.move_on_after(min(LATE, patience)):
            await trio.lowlevel.wait_readable(hand.channel)
            return
        if patience <= LATE:
            raise Unanswered(errno.ETIMEDOUT, "no answer in time")
        late = self._late_of.get(account, 0)
        if self._late >= MOST_LATE or late >= MOST_LATE_OF_ACCOUNT:
            raise Unanswered(errno.EBUSY, "too many wait already")
        self._late += 1
        self._late_of[account] = late + 1
        try:
            with trio.move_on_after(patience - LATE):
                await trio.lowlevel.wait_readable(hand.channel)
                return
            raise Unanswered(errno.ETIMEDOUT, "no answer in time")
        finally:
            self._late -= 1
            self._late_of[account] -= 1
            if not self._late_of[account]:
                del self._late_of[account]

    def _kill(self, hand: _Hand, wait: _Wait) -> None:
        hand.channel.close()
        with suppress(OSError):
            signal.pidfd_send_signal(hand.watch, signal.SIGKILL)
        wait.lost += 1
        assert self._nursery is not None
        self._nursery.start_soon(self._bury, hand, wait)

    async def _bury(self, hand: _Hand, wait: _Wait) -> None:
        """Count a killed worker until the kernel has let go of it.

        For a moment as one of all workers, then against the account that caused it.
        """
        cause: Hashable = None
        counted = True
        try:
            with trio.move_on_after(LOST):
                await trio.lowlevel.wait_readable(hand.watch)
                return
            cause = self._lost_workers.cause(*hand.asked)
            self._lost_workers.add(cause)
            self._gone(hand)
            counted = False
            await trio.lowlevel.wait_readable(hand.watch)
        finally:
            os.close(hand.watch)
            if counted:
                self._gone(hand)
            else:
                self._lost_workers.remove(cause)
            wait.lost -= 1
            wait.changed.set()
            wait.changed = trio.Event()
            if not wait.flying and not wait.lost:
                self._waits = {lock: one for lock, one in self._waits.items() if one is not wait}


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


def _result(reply: Reply, descriptor: int) -> Result:
    if reply.code == SPOOLED and descriptor < 0:
        # There was no room for it.
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if reply.code in {DONE, SPOOLED}:
        return Result(reply.result, descriptor)
    if reply.result:
        log.warning("%s", reply.result)
    raise OSError(reply.code, os.strerror(reply.code))
