"""The request loop: pyfuse3's, at the speed of C, beside trio's other tasks.

pyfuse3 waits for each request with a lock, a checkpoint and a full round of trio's scheduler, three
times the price of the request itself. It finds `trio` in its own module when it needs it (that is
how its asyncio mode replaces it), so while we serve a stand-in is there. Its `wait_readable` polls
the FUSE descriptor directly, as long as trio has no task that could run. The poll watches trio's
own epoll descriptor too, so that a worker's answer or a signal ends it at once, and it ends in time
for trio's next deadline.

One session loop reads at a time. When a handler starts to wait, another session loop is started in
its place; when the handler is done and another loop reads, its loop ends (min_tasks 0).
"""

from __future__ import annotations

import errno
import importlib
import logging
import select
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Self

import pyfuse3
import trio

log = logging.getLogger("procmirror")

# How long the direct polling may go on without a pass of trio: bounds how late a deadline that
# somebody moved can be.
_PASS = 0.005
# The same when trio's epoll descriptor is not to be had, and only this limit lets other tasks run.
_PASS_BLIND = 0.002

# Why a request may not be received now, as there is no memory for it, and when to try again.
_PASSING = frozenset((errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR))
_AGAIN = 0.1


class _Done:
    """An awaitable that never suspends."""

    def __await__(self) -> Generator[Any, Any, None]:
        return iter(())  # type: ignore[return-value]


_DONE = _Done()


class _NoLock:
    """pyfuse3's read lock: there is never more than one reader."""

    def __aenter__(self) -> _Done:
        return _DONE

    def __aexit__(self, *_: object) -> _Done:
        return _DONE


class _Instead:
    """A module with some of its names replaced."""

    def __init__(self, module: Any, **names: Any) -> None:
        self.__dict__.update(names)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class _Runnable(trio.abc.Instrument):
    """The tasks that are scheduled and have not yet been stepped.

    trio's own statistics leave out the running batch, which delayed workers' answers tenfold when
    they were used here.
    """

    def __init__(self) -> None:
        self.tasks: set[trio.lowlevel.Task] = set()
        self.task_scheduled = self.tasks.add  # type: ignore[assignment]
        self.before_task_step = self.tasks.discard  # type: ignore[assignment]


class _Session:
    """One session loop of pyfuse3: whether its handler waits for something at the moment."""

    __slots__ = ("waits",)

    def __init__(self) -> None:
        self.waits = False


class _Nursery:
    """pyfuse3's nursery, which starts session loops under `Loop.drive`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._manager = trio.open_nursery()

    async def __aenter__(self) -> Self:
        self._nursery = await self._manager.__aenter__()
        return self

    def __aexit__(self, *error: Any) -> Awaitable[Any]:
        return self._manager.__aexit__(*error)

    def start_soon(
        self, function: Callable[..., Any], *arguments: Any, name: object = None
    ) -> None:
        """Start the first loop; further ones are ours to start."""
        if self._loop.sessions == 0:
            self.spawn(function, arguments, name)

    def spawn(self, function: Callable[..., Any], arguments: tuple[Any, ...], name: object) -> None:
        """Start a loop."""
        self._loop.sessions += 1
        self._nursery.start_soon(self._run, function, arguments, name, name=name)

    async def _run(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], name: object
    ) -> None:
        session = _Session()
        try:
            while not await self._driven(function, arguments, name, session):
                pass
        finally:
            self._loop.sessions -= 1
            if session.waits:
                self._loop.waiting -= 1

    async def _driven(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        name: object,
        session: _Session,
    ) -> bool:
        """Run one session loop; whether it has ended, and not only a receive failed for now."""
        try:
            await self._loop.drive(
                function(*arguments), session, lambda: self.spawn(function, arguments, name)
            )
        except OSError as failed:
            if failed.errno not in _PASSING:
                raise
            log.warning("no request could be received: %s", failed.strerror)
            await trio.sleep(_AGAIN)
            return False
        return True


class Loop:
    """The state of one run of `serve`."""

    def __init__(self, most: int) -> None:
        self.sessions = 0
        self.waiting = 0
        self.waited = False
        self._most = most
        self._runnable = _Runnable()
        self._poller = select.poll()
        self._known: set[int] = set()
        self._current: _Session = _Session()
        self._reading = False
        self._until = 0.0
        self._epoll = _epoll_of_trio()
        self._pass = _PASS if self._epoll >= 0 else _PASS_BLIND
        if self._epoll >= 0:
            self._poller.register(self._epoll, select.POLLIN)

    def _wait_readable(self, descriptor: int) -> Awaitable[Any]:
        """Wait for the next request.

        At once if it is there or comes while nobody else wants to run, else in trio.
        """
        self.waited = True
        session = self._current
        if session.waits:
            session.waits = False
            self.waiting -= 1
        if not self._runnable.tasks and (self._epoll >= 0 or not self.waiting):
            left = self._until - time.monotonic()
            if left > 0:
                events = self._poller.poll(left * 1000)
                if len(events) == 1 and events[0][0] == descriptor:
                    return _DONE
        return self._wait_in_trio(descriptor)

    async def _wait_in_trio(self, descriptor: int) -> None:
        if descriptor not in self._known:
            self._known.add(descriptor)
            self._poller.register(descriptor, select.POLLIN)
        self._reading = True
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            self._reading = False
        deadline = trio.lowlevel.current_statistics().seconds_to_next_deadline
        self._until = time.monotonic() + min(self._pass, deadline)

    def quiet(self, descriptor: int, seconds: float) -> bool:
        """Wait for a descriptor as long as nobody wants anything else; whether it was worth it."""
        if self._runnable.tasks or self._epoll < 0 or not self._known:
            return False
        left = min(seconds, trio.lowlevel.current_statistics().seconds_to_next_deadline)
        if left <= 0:
            return False
        self._poller.register(descriptor, select.POLLIN)
        try:
            return any(found == descriptor for found, _ in self._poller.poll(left * 1000))
        finally:
            self._poller.unregister(descriptor)

    @types.coroutine
    def drive(
        self,
        session_loop: Coroutine[Any, Any, None],
        session: _Session,
        start_another: Callable[[], None],
    ) -> Generator[Any, Any, None]:
        """Run one session loop; whenever it suspends, see whether reader or handler waits."""
        step: Callable[[Any], Any] = session_loop.send
        value: Any = None
        while True:
            self._current = session
            try:
                trap = step(value)
            except StopIteration:
                return
            except OSError as ended:
                # The connection was aborted, as by an umount(8) with much left to be closed: there
                # is nothing more to read.
                if ended.errno != errno.ECONNABORTED:
                    raise
                return
            if self._reading:
                self._reading = False
            elif not session.waits:
                session.waits = True
                self.waiting += 1
                # Other tasks will run, and may set deadlines.
                self._until = 0.0
                if self.sessions < self._most:
                    start_another()
            try:
                value = yield trap
                step = session_loop.send
            except BaseException as error:  # noqa: BLE001 - whatever trio throws belongs to the session loop
                value, step = error, session_loop.throw

    async def run(self) -> None:
        """Serve until the session ends."""
        lowlevel = _Instead(trio.lowlevel, wait_readable=self._wait_readable)
        stand_in = _Instead(
            trio, Lock=_NoLock, open_nursery=lambda: _Nursery(self), lowlevel=lowlevel
        )
        module: Any = pyfuse3
        module.trio = stand_in
        trio.lowlevel.add_instrument(self._runnable)
        _running.append(self)
        try:
            await pyfuse3.main(0, 1)
        finally:
            _running.remove(self)
            module.trio = trio
            trio.lowlevel.remove_instrument(self._runnable)


_running: list[Loop] = []


def quiet(descriptor: int, seconds: float) -> bool:
    """Poll a descriptor without trio, until a request comes or another task can run.

    False where it was not worth it: somebody else wants something by now, time is up, or there is
    no such loop.
    """
    return bool(_running) and _running[-1].quiet(descriptor, seconds)


def _epoll_of_trio() -> int:
    """The descriptor behind trio's event loop, -1 where this trio keeps it elsewhere."""
    try:
        context: Any = importlib.import_module("trio._core._run").__dict__["GLOBAL_RUN_CONTEXT"]
        epoll = context.runner.io_manager._epoll  # noqa: SLF001 - there is no public way; its absence is provided for
    except (ImportError, KeyError, AttributeError):
        return -1
    return int(epoll.fileno()) if isinstance(epoll, select.epoll) else -1


def _replaceable() -> bool:
    """Whether this pyfuse3 looks its event loop up where we can replace it."""
    return getattr(pyfuse3, "trio", None) is trio


async def serve(most: int = 4000) -> None:
    """Answer FUSE requests until the session ends, at most `most` handlers waiting at a time.

    Falls back to pyfuse3's own loop where pyfuse3 does not let itself be helped.
    """
    if _replaceable():
        await Loop(most).run()
    else:
        log.warning("this pyfuse3 keeps its own loop; requests take longer")
        await pyfuse3.main(1, min(most, 99))
