"""One exchange with a worker: a request, and every message up to the answer."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec
import trio

from procmirror.identity.errors import Unanswered
from procmirror.procfs.read_note import Noted, could_run, is_blocked, noted
from procmirror.workers.admission import Admission
from procmirror.workers.handle import WorkerHandle
from procmirror.workers.lock_queue import LockQueue, Slow
from procmirror.workers.lock_state import LockState
from procmirror.workers.pool import Pool
from procmirror.workers.protocol import (
    PARTIAL,
    PROGRESS,
    SUBREQUEST,
    Reply,
    Request,
    decode_request,
    encode,
)
from procmirror.workers.run_delay import RunDelay
from procmirror.workers.stream import Stream

# How long a view is waited for without trio, in seconds, while nothing else happens: most views
# take less.
POLL_SECONDS = 0.02
# A worker that sends nothing for so many seconds is overdue.
OVERDUE_SECONDS = 0.25
# A worker that is overdue and for so many seconds in the same read waits for what may never come.
STUCK_SECONDS = 0.15
# One that has little time is looked at so often, and has so many seconds in all, while other
# programs keep it from running.
_LOOK_SECONDS, _KEPT_SECONDS = 0.05, 1.0
# The longest time that a view may take in seconds, whatever progress it reports.
VIEW_SECONDS = 60.0


class Services(NamedTuple):
    """The parts of the daemon that every conversation uses.

    `poll_without_trio(descriptor, seconds)` and `poll_alone(descriptor)` are described in
    `Workers`. `own` is a procfs in which
    the workers have the numbers of their handles.
    """

    pool: Pool
    locks: LockQueue
    admission: Admission
    poll_without_trio: Callable[[int, float], bool]
    poll_alone: Callable[[int], bool] = lambda _: False
    own: int = -1


class Stuck(Unanswered):
    """A worker waits in one read; `path` is that of the source in the view's directory."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ETIMEDOUT, "no answer in time")
        self.path = path


class Conversation:
    """The exchange with the worker of `handle`, on behalf of an account.

    `state` is that of the lock that the operation may wait for. `relay` has another worker carry
    out a request of this one. With `looks` a worker that is blocked in one read is Stuck.
    """

    __slots__ = ("_account", "_looks", "_relay", "_services", "_state", "handle")

    def __init__(
        self,
        services: Services,
        handle: WorkerHandle,
        account: int,
        state: LockState,
        relay: Callable[[Request], Awaitable[Reply]],
        *,
        looks: bool = False,
    ) -> None:
        self.handle = handle
        self._looks = looks
        self._services = services
        self._account = account
        self._state = state
        self._relay = relay

    async def ask(self, request: Request, descriptors: list[int]) -> tuple[Reply, int]:
        """Send a request; returns the answer or PARTIAL, with a descriptor or -1.

        Unanswered(EIO) if the worker is gone, Unanswered(ETIMEDOUT or EBUSY) if it is abandoned.
        """
        self.handle.asked = (request.target, self._account)
        try:
            self.handle.send(request, descriptors)
            ready = self._services.admission.nobody_overdue and self._answers_soon()
        except OSError as lost:
            self.lose(lost)
            raise Unanswered(errno.EIO, "the worker is gone") from lost
        return await self.next_reply(ready=ready)

    def _answers_soon(self) -> bool:
        """Wait for a moment; whether a message is there."""
        channel = self.handle.channel.fileno()
        return self._services.poll_alone(channel) or bool(self.handle.poll(1))

    async def next_reply(
        self, stream: Stream | None = None, *, ready: bool = False
    ) -> tuple[Reply, int]:
        """The next reply that is no report of progress; PARTIAL is progress of `stream`, if any.

        `ready`: a message is there already.
        """
        try:
            # What is there at once needs none.
            deadline = 0.0 if ready else trio.current_time() + VIEW_SECONDS
            while True:
                if not ready:
                    await self._wait()
                ready = False
                reply, descriptor = self.handle.receive()
                if descriptor >= 0 and reply.code in {PROGRESS, SUBREQUEST}:
                    os.close(descriptor)
                if reply.code == PARTIAL and stream:
                    stream.grow(reply.result)
                elif reply.code == SUBREQUEST:
                    answer = await self._relay(decode_request(reply.result))
                    self.handle.channel.send(encode(answer))
                elif reply.code != PROGRESS:
                    return reply, descriptor
                self._state.progressed()
                deadline = deadline or self._state.since + VIEW_SECONDS
                if self._state.since > deadline:
                    raise Slow("the view takes too long")
        except (OSError, TypeError, msgspec.MsgspecError, trio.Cancelled) as lost:
            self.lose(lost)
            if isinstance(lost, Unanswered | trio.Cancelled):
                raise
            raise Unanswered(errno.EIO, "the worker is gone") from lost

    async def _wait(self) -> None:
        """Wait for a message; a wait that is overdue counts against the account."""
        channel, timeout = self.handle.channel, self._state.timeout
        if self._services.poll_without_trio(channel.fileno(), min(POLL_SECONDS, timeout)):
            return
        if timeout <= OVERDUE_SECONDS and not self._looks:
            await self._wait_briefly()
            return
        with trio.move_on_after(min(OVERDUE_SECONDS, timeout)):
            await trio.lowlevel.wait_readable(channel)
            return
        if timeout > OVERDUE_SECONDS or self._looks:
            with (
                self._services.admission.overdue(self._account),
                trio.move_on_after(max(timeout - OVERDUE_SECONDS, 3 * STUCK_SECONDS)),
            ):
                await self._wait_while_it_works()
                return
        raise self._no_answer()

    def _no_answer(self) -> Unanswered:
        slow = could_run(self.handle.directory, ".")
        return Slow() if slow else Unanswered(errno.ETIMEDOUT, "no answer in time")

    async def _wait_briefly(self) -> None:
        """Wait for a message, and for longer while others keep the worker from running."""
        delay = RunDelay(self._services.own, self.handle.directory, self.handle.pid)
        seconds, until = self._state.timeout, trio.current_time() + _KEPT_SECONDS
        kept = True
        try:
            while kept:
                with trio.move_on_after(seconds):
                    await trio.lowlevel.wait_readable(self.handle.channel)
                    return
                kept = delay.look(seconds) and trio.current_time() < until
                seconds = _LOOK_SECONDS
        finally:
            delay.look()
            self._state.excused += delay.seconds
        raise self._no_answer()

    async def _wait_while_it_works(self) -> None:
        """Wait for a message, or until the worker is in one read and blocked for long: Stuck.

        One that could run and is not let by others only is slow.
        """
        channel = self.handle.channel
        before = self._blocked_read() if self._looks else None
        while self._looks:
            with trio.move_on_after(STUCK_SECONDS):
                await trio.lowlevel.wait_readable(channel)
                return
            now = self._blocked_read()
            if now is not None and now == before:
                raise Stuck(now.path)
            before = now
        await trio.lowlevel.wait_readable(channel)

    def _blocked_read(self) -> Noted | None:
        """The read in which the kernel keeps the worker."""
        read = noted(self.handle.note)
        return read if read and is_blocked(self.handle.directory, ".") else None

    def lose(self, reason: BaseException) -> None:
        """Kill the worker: it will send nothing more, or its answer is not wanted any more.

        A worker that did not answer in time delays further operations on the lock until it is
        reaped, unless it only waits for a processor.
        """
        services = self._services
        reaped = _nothing_hangs
        if isinstance(reason, Stuck):
            reaped = services.locks.left_out(self._state)
        elif (
            isinstance(reason, OSError)
            and reason.errno in {errno.ETIMEDOUT, errno.EBUSY}
            and not isinstance(reason, Slow)
            and not could_run(self.handle.directory, ".")
        ):
            reaped = services.locks.hung(self._state)
        services.pool.kill(self.handle, reaped)


def _nothing_hangs() -> None:
    """Do nothing: a worker that ended by itself holds no lock."""
