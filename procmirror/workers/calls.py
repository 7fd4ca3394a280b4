"""Operations that workers carry out for the daemon.

A process can make its readers wait for ever, and a requester cannot even be killed before the
daemon has answered. So each wait has a deadline, each lock of a target occupies at most a few
workers, and each account has a limit. A worker that does not answer in time is killed. One that
cannot be killed counts against the account that caused the wait.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

import msgspec
import trio

from procmirror.identity.errors import Unanswered, error
from procmirror.procfs.roots import ProcRoots
from procmirror.workers import request_note
from procmirror.workers.admission import Admission
from procmirror.workers.conversation import Conversation, Services, Stuck
from procmirror.workers.directory_operations import ListEntries
from procmirror.workers.entry_operations import GetAttributes, MountsAlong
from procmirror.workers.forkserver_client import ForkServer
from procmirror.workers.handle import WorkerHandle, result_of
from procmirror.workers.left_out import LeftOut, may_lack_parts
from procmirror.workers.lock_queue import SHORT_TIMEOUT_SECONDS, InFlight, LockQueue
from procmirror.workers.lock_state import Lock, LockState
from procmirror.workers.lost import LostWorkers
from procmirror.workers.operation import Descriptors, kept_open
from procmirror.workers.placement import Placement
from procmirror.workers.pool import IDLE_SECONDS, Pool
from procmirror.workers.protocol import LONG, PARTIAL, SPOOLED, TARGET_IS_SELF, Reply, Request
from procmirror.workers.result import Result
from procmirror.workers.run_delay import run_delay
from procmirror.workers.shares import nice
from procmirror.workers.silent import SilentAccounts
from procmirror.workers.stream import Stream

log = logging.getLogger("procmirror")

PAUSE_SECONDS = 0.01
# So many seconds after the first use of a mount the fork server has imported all modules.
_IMPORTED_SECONDS = 1.0
# The scope of an operation that no LOOKUP waits for that a requester could make late.
_NOBODY_ASKED = nullcontext()


def _is_of_lookup(request: Request, placement: Placement) -> bool:
    """Whether a LOOKUP may wait for an answer, and its requester can make that late.

    Requesters can stop the workers in their namespaces, and have 100,000 mounts.
    """
    operation = request.operation
    return isinstance(operation, MountsAlong) or (
        placement.apart and isinstance(operation, GetAttributes | ListEntries)
    )


class WorkersState(NamedTuple):
    """The number of workers, slow locks, refused accounts, and waiting requests by account."""

    size: int
    slow: list[Hashable]
    refused: list[int]
    waiting: dict[int, int]


class Workers:
    """All workers of one daemon.

    `timeout` is the longest wait of a request in seconds. `poll_without_trio(descriptor, seconds)`
    waits until a descriptor is readable, another task can run, or the time is over; it returns
    whether the descriptor is readable. `poll_alone(descriptor)` does so until a request or a signal
    comes, and only where nothing else can.
    """

    def __init__(
        self,
        roots: ProcRoots,
        timeout: float,
        poll_without_trio: Callable[[int, float], bool] = lambda *_: False,
        poll_alone: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._roots = roots
        self._admission = Admission()
        self._locks = LockQueue(timeout)
        self._silent = SilentAccounts(partial(run_delay, roots.own, b"self"))
        self._lost = LostWorkers(roots.root, roots.may_be_owned)
        self._fork_server = ForkServer(roots, timeout)
        # The first question is the daemon's own: whether there is a mount.
        self._asked = 0
        self._pool = Pool(self._fork_server, self._admission, self._lost, roots.own, timeout)
        self._services = Services(
            self._pool, self._locks, self._admission, poll_without_trio, poll_alone, roots.own
        )
        self._left_out = LeftOut()
        self._nursery: trio.Nursery | None = None

    def begin(self) -> None:
        """Fork what forks the workers, before there is a mount.

        It is the last thing before that: of each page that the daemon writes to afterwards the
        workers have another copy.
        """
        self._fork_server.begin()

    async def run(self, nursery: trio.Nursery) -> None:
        """End workers that have been idle for long. The first request starts the first."""
        self._nursery = nursery
        await self._pool.start(nursery, ready=0)
        while True:
            await trio.sleep(IDLE_SECONDS / 4)
            self._locks.forget_old()
            self._pool.retire_idle()
            await self._pool.replace_early()

    def tell_owners(self, outermost_of: Callable[[bytes, int], tuple[int, int] | None]) -> None:
        """Have what tells the owner of a process in another user namespace (`LostWorkers`)."""
        self._lost.outermost_of = outermost_of

    def state(self) -> WorkersState:
        """How many workers there are, and who waits for what."""
        return WorkersState(
            self._pool.count, self._locks.slow(), self._silent.refused(), self._admission.counts()
        )

    def waiting(self, account: int) -> AbstractContextManager[None]:
        """A scope in which a request of an account waits; Unanswered(EBUSY) beyond its limit."""
        return self._admission.waiting(account)

    async def pause(self) -> None:
        """Let other requests be served for a moment."""
        await trio.sleep(PAUSE_SECONDS)

    async def call(
        self, request: Request, descriptors: Descriptors, placement: Placement, lock: Hashable
    ) -> Result:
        """Have a worker carry out a request, which starts from `descriptors()`.

        `lock` names the lock of the target that the operation may wait for; None for none. A
        requester in other namespaces can stop the workers in them, and a confined one those with
        the same ids, so a lock counts for these workers alone: a stopped worker delays no other
        requester. A long content is returned as a stream that the worker still makes. OSError as
        the kernel raised it in the worker; Unanswered if the kernel was not asked.
        """
        self._note_use()
        if note := request_note.current():
            note.lock = lock
        self._lost.refuse(request.target, placement.account)
        if placement.apart and lock is not None:
            lock = (lock, placement.key())
        names = _is_of_lookup(request, placement)
        if names:
            self._silent.refuse(placement.account)
        with self._admission.waiting(placement.account):
            state = await self._locks.enter(lock, placement.account)
            if names:
                state.timeout = min(state.timeout, SHORT_TIMEOUT_SECONDS)
            asked = (
                self._silent.asked(placement.account, lambda: state.excused)
                if names
                else _NOBODY_ASKED
            )
            with self._locks.in_flight(state, remember=not placement.apart) as in_flight, asked:
                conversation, reply, descriptor = await self._without_stuck(
                    request, descriptors, placement, state
                )
                if reply.code != PARTIAL:
                    return result_of(reply, descriptor)
                return self._stream(conversation, reply.result, descriptor, in_flight)

    def is_waited_for(self, lock: Hashable, account: int) -> bool:
        """Whether an operation waits for a lock, or did of an account a moment ago in vain."""
        return self._locks.is_waited_for(lock, account)

    def _note_use(self) -> None:
        """At the first use of the mount have the modules imported that workers may need."""
        self._asked += 1
        if self._asked == 2:
            self._fork_server.note_use()
            self._pool.complete_from = trio.current_time() + _IMPORTED_SECONDS

    def _stream(
        self, conversation: Conversation, size: int, descriptor: int, in_flight: InFlight
    ) -> Result:
        """A content of which there are `size` bytes so far, and which the worker still makes."""
        if descriptor < 0:
            refused = error(errno.EMFILE)
            conversation.lose(refused)
            raise refused
        stream = Stream(descriptor, size)
        assert self._nursery is not None
        self._nursery.start_soon(self._follow, in_flight.handed_over(), stream, conversation)
        return Result(None, descriptor, stream)

    async def _without_stuck(
        self,
        request: Request,
        descriptors: Descriptors,
        placement: Placement,
        state: LockState,
    ) -> tuple[Conversation, Reply, int]:
        """The answer; a joined view may lack sources for which a worker waits too long."""
        while True:
            request = self._left_out.applied(request, state)
            try:
                return await self._converse(request, descriptors, placement, state)
            except Stuck as stuck:
                if not self._left_out.add(request, state, stuck.path):
                    raise

    async def _converse(
        self,
        request: Request,
        descriptors: Descriptors,
        placement: Placement,
        state: LockState,
        *,
        relayed: bool = False,
    ) -> tuple[Conversation, Reply, int]:
        """The answer, or its first part, of a worker that the request is not about."""
        avoided: list[WorkerHandle] = []
        looks = may_lack_parts(request)
        try:
            while True:
                hurries = placement.apart or _is_of_lookup(request, placement)
                handle = await self._worker_for(placement, state, relayed=relayed, hurries=hurries)
                start = self._start(handle, request.target, placement.account, descriptors)
                if note := request_note.current():
                    note.sent(handle.pidfd)
                relay = partial(self._relay, placement)
                conversation = Conversation(
                    self._services, handle, placement.account, state, relay, looks=looks
                )
                weighed = request if relayed else self._weighed(request, placement.account)
                reply, descriptor = await conversation.ask(weighed, start)
                if reply.code == TARGET_IS_SELF:
                    avoided.append(handle)
                    continue
                if reply.code != PARTIAL:
                    self._pool.put_back(handle, retire=reply.retire)
                return conversation, reply, descriptor
        finally:
            for handle in avoided:
                self._pool.put_back(handle)

    async def _worker_for(
        self, placement: Placement, state: LockState, *, relayed: bool, hurries: bool
    ) -> WorkerHandle:
        """A worker; for what `hurries` it has to be there in time: Unanswered(EBUSY) without.

        Many starts at once, each of which others wait for, would keep a directory from everybody
        while a name is looked up in it.
        """
        if not hurries:
            return await self._pool.take(placement, relayed=relayed)
        with trio.move_on_after(2 * state.timeout) as limit:
            until = limit.deadline
            try:
                return await self._pool.take(placement, relayed=relayed, limit=limit)
            finally:
                state.excused += limit.deadline - until
        raise Unanswered(errno.EBUSY, "no worker in time")

    def _start(
        self, handle: WorkerHandle, target: bytes, account: int, descriptors: Descriptors
    ) -> list[int]:
        """What a request starts from now, as it is sent; else its worker is given back.

        Unanswered(EBUSY) if too many workers are lost meanwhile, OSError(ESRCH) if its process has
        ended.
        """
        try:
            self._lost.refuse(target, account)
            return list(descriptors())
        except OSError:
            self._pool.put_back(handle)
            raise

    def _weighed(self, request: Request, account: int) -> Request:
        """A request whose worker has its share of the weight of its account's busy workers."""
        busy = self._pool.shares.busy(account)
        value = nice(busy) if busy > 1 else 0
        return msgspec.structs.replace(request, nice=value) if value else request

    async def _relay(self, placement: Placement, request: Request) -> Reply:
        """The answer of a second worker in the same namespaces to a request of the first one."""
        try:
            _, reply, descriptor = await self._converse(
                request,
                kept_open(self._roots.root),
                placement,
                Lock(None).state_of(placement.account, self._locks.timeout),
                relayed=True,
            )
        except OSError as unanswered:
            return Reply(unanswered.errno or errno.EIO)
        if descriptor >= 0:
            os.close(descriptor)
        return Reply(errno.EFBIG) if reply.code == LONG else reply

    async def _follow(
        self, in_flight: InFlight, stream: Stream, conversation: Conversation
    ) -> None:
        """Let a stream grow until it is complete or abandoned."""
        failed = True
        try:
            with in_flight, stream.scope:
                reply, descriptor = await conversation.next_reply(stream)
                self._pool.put_back(conversation.handle, retire=reply.retire)
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
