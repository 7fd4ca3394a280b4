"""The workers, idle or busy, and their limit."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Protocol

import trio

from procmirror.identity.confinement import label_of
from procmirror.identity.errors import Unanswered, Unlabelled
from procmirror.identity.identity import Identity
from procmirror.procfs.read_note import could_run
from procmirror.workers.admission import Admission
from procmirror.workers.handle import WorkerHandle, result_of
from procmirror.workers.lost import LostWorkers
from procmirror.workers.placement import IN_DAEMON, Placement
from procmirror.workers.protocol import DONE
from procmirror.workers.shares import MOST_BUSY_OF_ACCOUNT, Shares

MOST_WORKERS = 34
# So many more may be for accounts that have none, and for busy workers that need another.
MOST_BEYOND = 32
READY_WORKERS = 2
IDLE_SECONDS = 10.0
# For so many seconds a killed worker that does not end still counts as one of the pool.
REAP_SECONDS = 1.0
# It is looked so often whether it only waits for a processor.
_MOST_LOOKS = 10
# For so many seconds a label that no worker could take on is not tried again.
UNLABELLED_SECONDS = 5.0


class Spawner(Protocol):
    """Starts workers."""

    async def spawn(
        self, identity: Identity, namespaces: dict[str, int], label: bytes = b""
    ) -> WorkerHandle:
        """Start a worker in these namespaces under a label; Unanswered without one."""


class Pool:
    """Idle workers by the key of their placement, and the count of all.

    `own` is a procfs by which namespaces are opened, and in which the workers have the numbers of
    their handles; `timeout` is the longest wait for a free worker in seconds.
    """

    def __init__(
        self, spawner: Spawner, admission: Admission, lost: LostWorkers, own: int, timeout: float
    ) -> None:
        self._spawner = spawner
        self._admission = admission
        self._lost = lost
        self._own = own
        self._timeout = timeout
        self._idle: dict[Hashable, list[WorkerHandle]] = {}
        # Labels that no worker could take on, and until when they are not tried again.
        self._refused: dict[bytes, float] = {}
        self._nursery: trio.Nursery | None = None
        self.shares = Shares()
        self.count = 0
        # When the fork server had imported all modules. A worker from before imports what it is
        # asked for, beside all others, and is not used again.
        self.complete_from = -math.inf

    async def start(self, nursery: trio.Nursery, ready: int = READY_WORKERS) -> None:
        """Start `ready` workers; killed ones are waited for in `nursery`."""
        self._nursery = nursery
        # If none can be started now, the first request tries again.
        with suppress(Unanswered):
            for _ in range(ready):
                self.put_back(await self._spawn(IN_DAEMON))

    async def take(
        self,
        placement: Placement,
        *,
        relayed: bool = False,
        limit: trio.CancelScope | None = None,
    ) -> WorkerHandle:
        """An idle worker or a new one; Unanswered(EBUSY) if all stay busy.

        Unlabelled if none can take on the label.
        With `relayed` a busy worker needs it, which must not wait for its own account. `limit` is
        the scope of the call; the time in which a new worker makes itself ready is added to it.
        """
        account, key = placement.account, placement.key()
        if not self._may_have_one(account, key, relayed=relayed):
            await self._wait_for_turn(account, key)
        self.shares.begin(account)
        try:
            handle = self._idle_one(key, placement.label)
            handle = handle or await self._new(placement, limit or trio.CancelScope())
        except BaseException:
            self._end_share(account)
            raise
        handle.busy_for = account
        return handle

    def _may_have_one(self, account: int, key: Hashable, *, relayed: bool = False) -> bool:
        """Whether there is a worker for an account now, or room for a new one."""
        busy = self.shares.busy(account)
        if busy >= MOST_BUSY_OF_ACCOUNT and not relayed:
            return False
        most = MOST_WORKERS if busy and not relayed else MOST_WORKERS + MOST_BEYOND
        there = self.count < most or bool(self._idle.get(key))
        return self.shares.total < most and (there or self._evict())

    async def _wait_for_turn(self, account: int, key: Hashable) -> None:
        """Wait until it is the turn of an account; Unanswered(EBUSY) if that takes too long."""
        with trio.move_on_after(self._timeout):
            while True:
                with self.shares.queued(account) as event:
                    await event.wait()
                if self._may_have_one(account, key):
                    return
        self.shares.wake()
        raise Unanswered(errno.EBUSY, "all workers are busy")

    def _end_share(self, account: int | None) -> None:
        """Note that a worker is not busy any more for an account, if it was."""
        if account is not None:
            self.shares.end(account)
        self.shares.wake()

    async def _new(self, placement: Placement, limit: trio.CancelScope) -> WorkerHandle:
        if placement.apart:
            return await self._spawn_in_namespaces(placement, limit)
        return await self._spawn(placement)

    def put_back(self, handle: WorkerHandle, *, retire: bool = False) -> None:
        """Keep a worker that has answered for the next request; with `retire`, let it end."""
        account, handle.busy_for = handle.busy_for, None
        if retire:
            self.dismiss(handle)
        else:
            handle.idle_since = trio.current_time()
            self._idle.setdefault(handle.key, []).append(handle)
        self._end_share(account)

    def dismiss(self, handle: WorkerHandle) -> None:
        """Let an idle worker end."""
        handle.close()
        self._uncount(handle)

    def kill(self, handle: WorkerHandle, on_reaped: Callable[[], None]) -> None:
        """Kill a worker that is not needed any more; `on_reaped` is called when it is gone.

        It is busy for its account until then, or until it counts as lost, so that an account cannot
        have further workers lost before this is known.
        """
        handle.kill()
        assert self._nursery is not None
        self._nursery.start_soon(self._reap, handle, on_reaped)

    def retire_idle(self) -> None:
        """Let workers end that have been idle for long, except the first few."""
        now = trio.current_time()
        self._refused = {label: until for label, until in self._refused.items() if until > now}
        for key, handles in list(self._idle.items()):
            keep = READY_WORKERS if key == () else 0
            while len(handles) > keep and now - handles[0].idle_since > IDLE_SECONDS:
                self.dismiss(handles.pop(0))
            if not handles and key != ():
                del self._idle[key]

    async def replace_early(self) -> None:
        """Have idle workers replaced that lack modules which others have been forked with."""
        while early := next(filter(self._is_early, self._idle.get((), ())), None):
            self._idle[()].remove(early)
            self.dismiss(early)
            # If none can be started now, the next request tries again.
            with suppress(Unanswered):
                self.put_back(await self._spawn(IN_DAEMON))

    def _is_early(self, handle: WorkerHandle) -> bool:
        return handle.started < self.complete_from <= trio.current_time()

    def _idle_one(self, key: Hashable, label: bytes) -> WorkerHandle | None:
        """An idle worker that lives: a worker sends nothing unasked, unless it has ended.

        A worker loses its label when the policy is taken away.
        """
        idle = self._idle.get(key, [])
        while idle:
            handle = idle.pop()
            early = self._is_early(handle)
            if not early and not handle.poll(0) and (not label or self._has_label(handle, label)):
                return handle
            self.dismiss(handle)
        return None

    def _evict(self, account: int | None = None) -> bool:
        """End the worker in other namespaces (of an account) that has been idle for longest."""
        candidates = [
            handle
            for key, handles in self._idle.items()
            if key != ()
            for handle in handles
            if account in {None, handle.account}
        ]
        if not candidates:
            return False
        oldest = min(candidates, key=lambda handle: handle.idle_since)
        self._idle[oldest.key].remove(oldest)
        self.dismiss(oldest)
        return True

    async def _spawn(
        self, placement: Placement, limit: trio.CancelScope | None = None
    ) -> WorkerHandle:
        """A new worker; one in the hands of its requester is ready within `limit`."""
        self.count += 1
        started = trio.current_time()
        try:
            handle = await self._spawner.spawn(
                placement.identity, placement.opened, placement.label
            )
            handle.started = started
        except BaseException:
            self.count -= 1
            raise
        if limit is not None:
            try:
                await self._prepared(handle, limit)
                if placement.label:
                    await self._introduced(handle, placement.label)
            except BaseException:
                self.kill(handle, lambda: None)
                raise
        handle.key = placement.key()
        return handle

    async def _prepared(self, handle: WorkerHandle, limit: trio.CancelScope) -> None:
        """Wait until a new worker has all modules, and begins to become its requester.

        Until then no requester can make it late.
        """
        began, until = trio.current_time(), limit.deadline
        limit.deadline = math.inf
        try:
            with trio.fail_after(self._timeout):
                await trio.lowlevel.wait_readable(handle.channel)
            result_of(*handle.receive())
        except (trio.TooSlowError, OSError) as lost:
            raise Unanswered(errno.EIO, "no worker") from lost
        finally:
            limit.deadline = until + trio.current_time() - began

    async def _introduced(self, handle: WorkerHandle, label: bytes) -> None:
        """Wait until a new worker has taken on its label; Unlabelled if it has not."""
        reason = "no answer"
        with trio.move_on_after(self._timeout), suppress(OSError):
            await trio.lowlevel.wait_readable(handle.channel)
            reply, _ = handle.receive()
            if reply.code == DONE and self._has_label(handle, label):
                return
            reason = reply.result or "its label is another one"
        self._refused[label] = trio.current_time() + UNLABELLED_SECONDS
        told = label.decode("utf-8", "backslashreplace")
        raise Unlabelled(errno.EACCES, f"no worker can take on the label {told!r}: {reason}")

    def _has_label(self, handle: WorkerHandle, label: bytes) -> bool:
        """Whether a worker has exactly this label, read as that of the requester was."""
        return label_of(handle.directory, b".") == label

    async def _spawn_in_namespaces(
        self, placement: Placement, limit: trio.CancelScope
    ) -> WorkerHandle:
        account = placement.account
        if trio.current_time() < self._refused.get(placement.label, 0.0):
            raise Unlabelled(errno.EACCES, "no worker could take on the label a moment ago")
        while not self._admission.may_have_namespace_worker(account):
            if not self._evict(account):
                raise Unanswered(errno.EBUSY, "too many namespaces at a time")
        held = bool(placement.opened)
        if not held:
            placement.hold(self._own)
        self._admission.add_namespace_worker(account)
        try:
            handle = await self._spawn(placement, limit)
        except BaseException:
            self._admission.remove_namespace_worker(account)
            raise
        finally:
            if not held:
                placement.release()
        handle.account = account
        return handle

    def _uncount(self, handle: WorkerHandle) -> None:
        self.count -= 1
        if handle.account is not None:
            self._admission.remove_namespace_worker(handle.account)
        self.shares.wake()

    async def _reap(self, handle: WorkerHandle, on_reaped: Callable[[], None]) -> None:
        """Count a killed worker until the kernel has let go of it.

        It first counts as one of the pool. After a moment it counts against the account that
        caused it; if it only waits for a processor, later, and against the account that asked.
        """
        try:
            looks = 1
            while not (ended := await _ends_soon(handle)) and could_run(handle.directory, "."):
                looks += 1
                if looks > _MOST_LOOKS:
                    break
            target, asker = handle.asked
            of = b"" if looks > _MOST_LOOKS else target
            cause = None if ended else self._lost.cause(of, asker)
            if cause is not None:
                self._lost.add(cause)
            self._uncount(handle)
            account, handle.busy_for = handle.busy_for, None
            self._end_share(account)
            if cause is not None:
                try:
                    await trio.lowlevel.wait_readable(handle.pidfd)
                finally:
                    self._lost.remove(cause)
        finally:
            handle.forget()
            on_reaped()


async def _ends_soon(handle: WorkerHandle) -> bool:
    """Whether a killed worker ends within a moment."""
    with trio.move_on_after(REAP_SECONDS):
        await trio.lowlevel.wait_readable(handle.pidfd)
        return True
    return False
