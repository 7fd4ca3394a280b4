"""The workers, idle or busy, and their limit."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Protocol

import trio

from procmirror.identity.errors import Unanswered
from procmirror.identity.identity import Identity
from procmirror.workers.admission import Admission
from procmirror.workers.handle import WorkerHandle
from procmirror.workers.lost import LostWorkers
from procmirror.workers.placement import IN_DAEMON, Placement

MOST_WORKERS = 34
READY_WORKERS = 2
IDLE_SECONDS = 10.0
# For so many seconds a killed worker that does not end still counts as one of the pool.
REAP_SECONDS = 1.0
_RETRY_SECONDS = 0.01


class Spawner(Protocol):
    """Starts workers."""

    async def spawn(self, identity: Identity, namespaces: dict[str, int]) -> WorkerHandle:
        """Start a worker in these namespaces; Unanswered without one."""


class Pool:
    """Idle workers by the key of their placement, and the count of all.

    `own` is a procfs by which namespaces are opened; `timeout` is the longest wait for a free
    worker in seconds.
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
        self._nursery: trio.Nursery | None = None
        self.count = 0

    async def start(self, nursery: trio.Nursery) -> None:
        """Start the first workers; killed ones are waited for in `nursery`."""
        self._nursery = nursery
        # If none can be started now, the first request tries again.
        with suppress(Unanswered):
            for _ in range(READY_WORKERS):
                self.put_back(await self._spawn(IN_DAEMON))

    async def take(self, placement: Placement) -> WorkerHandle:
        """An idle worker or a new one; Unanswered(EBUSY) if all stay busy."""
        key = placement.key()
        if handle := self._idle_one(key):
            return handle
        deadline = trio.current_time() + self._timeout
        while self.count >= MOST_WORKERS and not self._evict():
            if trio.current_time() >= deadline:
                raise Unanswered(errno.EBUSY, "all workers are busy")
            await trio.sleep(_RETRY_SECONDS)
            if handle := self._idle_one(key):
                return handle
        if placement.differing:
            return await self._spawn_in_namespaces(placement)
        return await self._spawn(placement)

    def put_back(self, handle: WorkerHandle, *, retire: bool = False) -> None:
        """Keep a worker that has answered for the next request; with `retire`, let it end."""
        if retire:
            self.dismiss(handle)
            return
        handle.idle_since = trio.current_time()
        self._idle.setdefault(handle.key, []).append(handle)

    def dismiss(self, handle: WorkerHandle) -> None:
        """Let an idle worker end."""
        handle.close()
        self._uncount(handle)

    def kill(self, handle: WorkerHandle, on_reaped: Callable[[], None]) -> None:
        """Kill a worker that is not needed any more; `on_reaped` is called when it is gone."""
        handle.kill()
        assert self._nursery is not None
        self._nursery.start_soon(self._reap, handle, on_reaped)

    def retire_idle(self) -> None:
        """Let workers end that have been idle for long, except the first few."""
        now = trio.current_time()
        for key, handles in list(self._idle.items()):
            keep = READY_WORKERS if key == () else 0
            while len(handles) > keep and now - handles[0].idle_since > IDLE_SECONDS:
                self.dismiss(handles.pop(0))
            if not handles and key != ():
                del self._idle[key]

    def _idle_one(self, key: Hashable) -> WorkerHandle | None:
        """An idle worker that lives: a worker sends nothing unasked, unless it has ended."""
        idle = self._idle.get(key, [])
        while idle:
            handle = idle.pop()
            if not handle.poll(0):
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

    async def _spawn(self, placement: Placement) -> WorkerHandle:
        self.count += 1
        try:
            handle = await self._spawner.spawn(placement.identity, placement.opened)
        except BaseException:
            self.count -= 1
            raise
        handle.key = placement.key()
        return handle

    async def _spawn_in_namespaces(self, placement: Placement) -> WorkerHandle:
        account = placement.account
        while not self._admission.may_have_namespace_worker(account):
            if not self._evict(account):
                raise Unanswered(errno.EBUSY, "too many namespaces at a time")
        held = bool(placement.opened)
        if not held:
            placement.hold(self._own)
        self._admission.add_namespace_worker(account)
        try:
            handle = await self._spawn(placement)
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

    async def _reap(self, handle: WorkerHandle, on_reaped: Callable[[], None]) -> None:
        """Count a killed worker until the kernel has let go of it.

        It first counts as one of the pool, after a moment against the account that caused it.
        """
        try:
            with trio.move_on_after(REAP_SECONDS) as scope:
                await trio.lowlevel.wait_readable(handle.pidfd)
            self._uncount(handle)
            if scope.cancelled_caught:
                cause = self._lost.cause(*handle.asked)
                self._lost.add(cause)
                try:
                    await trio.lowlevel.wait_readable(handle.pidfd)
                finally:
                    self._lost.remove(cause)
        finally:
            os.close(handle.pidfd)
            on_reaped()
