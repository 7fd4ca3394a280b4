"""The request loop: pyfuse3's, at the speed of C, beside trio's other tasks.

pyfuse3 waits for each request with a lock, a checkpoint and a full round of trio's scheduler, three
times the price of the request itself. It finds `trio` in its own module when it needs it (that is
how its asyncio mode replaces it), so while we serve a stand-in is there. Its `wait_readable` polls
the FUSE descriptor directly, as long as trio has no task that could run. The poll watches trio's
own epoll descriptor too, so that a worker's answer or a signal ends it at once, and it ends in time
for trio's next deadline. Where no task waits for a descriptor or has a deadline soon, even the poll
is spared: the read itself waits, and `read_limit` ends it in time.

`session_tasks` runs pyfuse3's session loops for it.
"""

from __future__ import annotations

import importlib
import logging
import select
import time
from collections.abc import Awaitable, Generator
from typing import Any

import pyfuse3
import trio

from procmirror.fuse.init_exchange import InitExchange
from procmirror.fuse.read_limit import SECONDS, ReadLimit
from procmirror.fuse.session_tasks import READER, Session, SessionNursery
from procmirror.fuse.turns import MOST, suspend, turns

log = logging.getLogger("procmirror")

# The longest direct poll in seconds without a round of trio: a deadline that another task moved can
# be late by so much.
_PASS = 0.005
# The same where no other task can have anything to do.
_PASS_ALONE = 0.01
# The same if trio's epoll descriptor is not available; then only this limit lets other tasks run.
_PASS_BLIND = 0.002

# How often it is looked how many requests wait, in seconds. So few are no crowd, if they are
# answered in so many seconds of the processor together.
_LOOK_SECONDS = 0.02
_FEW, _FEW_SECONDS = 32, 0.005
# So many requests are answered without a turn before the next turn of those that wait for one.
_MOST_WITHOUT_TURN = 8


class _Done:
    """An awaitable that never suspends."""

    def __await__(self) -> Generator[Any, Any, None]:
        return iter(())  # type: ignore[return-value]


_DONE = _Done()


class _NoLock:
    """Replaces pyfuse3's read lock: there is never more than one reader."""

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
    """The tasks that are scheduled and have not run yet.

    trio's own statistics leave out the running batch; with these, workers' answers came ten times
    later.
    """

    def __init__(self) -> None:
        self.tasks: set[trio.lowlevel.Task] = set()
        self.task_scheduled = self.tasks.add  # type: ignore[assignment]
        self.before_task_step = self.tasks.discard  # type: ignore[assignment]


class Loop:
    """The state of one run of `serve`.

    `sessions` counts the tasks that run session loops, of which `waiting` are with handlers that
    wait. `current` is the session loop that runs. While requests wait for their turn, `scheduler`
    is the task that gives turns, and `reader` the session loop that will read the next request,
    None if it has to be made. `exited` says that there are no more requests. `without_turn` counts
    those that were answered without a turn since the last turn. `alone` says that in this pass
    nothing but a request or a signal can give a task something to do, and no deadline is near.

    Turns take a third of the time of a small file, so that a few readers do without them. Once in a
    while it is looked how many requests wait, and where they are few, only those are answered for a
    moment: `_few_since` is its beginning, `_few_from` the time that the thread had run by then. If
    it was enough for all, the crowd is gone, even if they all ask for something else by now.
    """

    def __init__(self, most: int) -> None:
        self.sessions = 0
        self.waiting = 0
        self.most = most
        self.current: Session | None = None
        self.reading = False
        self.scheduler: object = None
        self.reader: Session | None = None
        self.exited = False
        self.without_turn = 0
        self._few_since = -_LOOK_SECONDS
        self._few_from = -_FEW_SECONDS
        self.limit = ReadLimit()
        self._init: InitExchange | None = None
        self._lowlevel: Any = _Instead(trio.lowlevel, wait_readable=self._wait_for_init)
        self._runnable = _Runnable()
        self._poller = select.poll()
        self._known: set[int] = set()
        self._until = self._next_look = 0.0
        self.alone = False
        self._epoll = _epoll_of_trio()
        self._pass = _PASS if self._epoll >= 0 else _PASS_BLIND
        if self._epoll >= 0:
            self._poller.register(self._epoll, select.POLLIN)

    def _wait_readable(self, descriptor: int) -> Awaitable[Any]:
        """Wait for the next request.

        Returns at once if it is there, or comes while no other task can run; else waits in trio.
        """
        session = self.current
        if session is not None and session.waits:
            session.waits = False
            self.waiting -= 1
        if turns.size or self.scheduler:
            return self._wait_between_turns(descriptor)
        if not self._runnable.tasks and (self._epoll >= 0 or not self.waiting):
            left = self._until - time.monotonic()
            if left > 0 and self.alone:
                self._say_that_it_reads()
                return _DONE
            if left > 0:
                events = self._poller.poll(left * 1000)
                if len(events) == 1 and events[0][0] == descriptor:
                    self._say_that_it_reads()
                    return _DONE
        return self._wait_in_trio(descriptor)

    def _say_that_it_reads(self) -> None:
        """As `before_read` does, for which this path has no time."""
        self.limit.used = True
        if not self.limit.runs:
            self.limit.before_read()

    def _wait_for_init(self, descriptor: int) -> Awaitable[Any]:
        """Let the first request and its answer pass through an `InitExchange`."""
        if self._init is None:
            self._init = InitExchange(descriptor)
        else:
            self._init.finish()
            self._lowlevel.wait_readable = self._wait_readable
            return self._wait_readable(descriptor)
        return _DONE

    async def _wait_between_turns(self, descriptor: int) -> None:
        if await suspend(READER):
            self.limit.before_read()
        else:
            await self._wait_readable(descriptor)

    async def _wait_in_trio(self, descriptor: int) -> None:
        if descriptor not in self._known:
            self._known.add(descriptor)
            self._poller.register(descriptor, select.POLLIN)
        self.reading = True
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            self.reading = False
        self.begin_pass()
        self.limit.before_read()

    def begin_pass(self) -> None:
        """Note that trio's other tasks had their turn just now."""
        statistics = trio.lowlevel.current_statistics()
        deadline, now = statistics.seconds_to_next_deadline, time.monotonic()
        # A signal ends a poll only by trio's epoll descriptor.
        self.alone = (
            self.limit.able
            and self._epoll >= 0
            and not self.waiting
            and deadline > _PASS_ALONE + SECONDS
            and _waits_for_signals_only(statistics)
        )
        self._until = now + min(_PASS_ALONE if self.alone else self._pass, deadline)
        if now > self._next_look:
            self._next_look = now + _LOOK_SECONDS
            turns.crowded = True

    def end_pass(self) -> None:
        """Let trio's other tasks have their turn: they may set deadlines."""
        self._until = 0.0
        self.alone = False

    def next_turn(self, more: bool) -> Session:
        """The next of the session loops that wait for a turn; `more`: the kernel has requests."""
        now, self.without_turn = time.monotonic(), 0
        if not more and turns.size <= _FEW and now - self._few_since > _LOOK_SECONDS:
            self._few_since, self._few_from = now, time.thread_time()
        found: Session = turns.next()
        return found

    def answers_few(self) -> bool:
        """Whether only those requests are answered that wait for their turn, as they are few."""
        return time.thread_time() - self._few_from < _FEW_SECONDS

    def reads_on(self) -> bool:
        """Whether a request that the kernel has is read before the next turn."""
        enough = turns.size >= MOST or (turns.size and self.without_turn >= _MOST_WITHOUT_TURN)
        return not (enough or self.exited or self.answers_few())

    def end_turns(self) -> None:
        """Note that no request waits for its turn: others wait for theirs if there was a crowd."""
        turns.crowded = not self.answers_few()
        self._few_from = -_FEW_SECONDS
        self.scheduler = None

    def _has_request(self) -> bool:
        """Whether the kernel has another request."""
        return any(descriptor in self._known for descriptor, _ in self._poller.poll(0))

    def look(self) -> tuple[bool, bool]:
        """Whether other tasks of trio want to run, and whether the kernel has a request."""
        events = {descriptor for descriptor, _ in self._poller.poll(0)}
        others = bool(self._runnable.tasks) or self._epoll in events
        return others or time.monotonic() >= self._until, bool(events & self._known)

    def poll_without_trio(self, descriptor: int, seconds: float) -> bool:
        """Poll a descriptor while nothing else can run; whether it became readable."""
        if self._runnable.tasks or self._epoll < 0 or not self._known or turns.size:
            return False
        left = min(seconds, trio.lowlevel.current_statistics().seconds_to_next_deadline)
        if left <= 0:
            return False
        self._poller.register(descriptor, select.POLLIN)
        try:
            return any(found == descriptor for found, _ in self._poller.poll(left * 1000))
        finally:
            self._poller.unregister(descriptor)

    def poll_alone(self, descriptor: int) -> bool:
        """Poll a descriptor where nothing else can come; whether it became readable.

        A request ends it, or a signal: that of `read_limit` comes in time while its timer runs, as
        it does for the handler of a request. A timeout would take as long as the rest.
        """
        is_ended = self.alone and self.limit.runs and bool(self._known)
        if not is_ended or turns.size or self._runnable.tasks:
            return False
        self._poller.register(descriptor, select.POLLIN)
        try:
            found = any(one == descriptor for one, _ in self._poller.poll())
        finally:
            self._poller.unregister(descriptor)
        # With several readers there is another request each time.
        self.alone = found
        return found

    async def run(self) -> None:
        """Serve until the session ends."""
        stand_in = _Instead(
            trio, Lock=_NoLock, open_nursery=lambda: SessionNursery(self), lowlevel=self._lowlevel
        )
        module: Any = pyfuse3
        module.trio = stand_in
        trio.lowlevel.add_instrument(self._runnable)
        _running.append(self)
        self.limit.start()
        turns.more = self._has_request
        try:
            await pyfuse3.main(0, 1)
        finally:
            self.limit.stop()
            turns.clear()
            _running.remove(self)
            module.trio = trio
            trio.lowlevel.remove_instrument(self._runnable)


_running: list[Loop] = []


def poll_without_trio(descriptor: int, seconds: float) -> bool:
    """Poll a descriptor without trio until a request comes or another task can run.

    False if it did not become readable, or if no such loop runs.
    """
    return bool(_running) and _running[-1].poll_without_trio(descriptor, seconds)


def poll_alone(descriptor: int) -> bool:
    """Poll a descriptor as `Loop.poll_alone` does; False if no such loop runs."""
    return bool(_running) and _running[-1].poll_alone(descriptor)


def _epoll_of_trio() -> int:
    """The descriptor of trio's event loop; -1 if this version of trio keeps it elsewhere."""
    try:
        context: Any = importlib.import_module("trio._core._run").__dict__["GLOBAL_RUN_CONTEXT"]
        epoll = context.runner.io_manager._epoll  # noqa: SLF001 - there is no public way; its absence is provided for
    except (ImportError, KeyError, AttributeError):
        return -1
    return int(epoll.fileno()) if isinstance(epoll, select.epoll) else -1


def _waits_for_signals_only(statistics: Any) -> bool:
    """Whether no task of trio waits for a descriptor but the one that is woken by signals."""
    waiting = getattr(statistics, "io_statistics", None)
    return (
        getattr(waiting, "tasks_waiting_read", 2) <= 1
        and getattr(waiting, "tasks_waiting_write", 1) == 0
    )


def _replaceable() -> bool:
    """Whether this version of pyfuse3 looks its event loop up where it can be replaced."""
    return getattr(pyfuse3, "trio", None) is trio


async def serve(most: int = 4000) -> None:
    """Answer FUSE requests until the session ends, with at most `most` handlers waiting.

    Falls back to pyfuse3's own loop if that cannot be replaced.
    """
    if _replaceable():
        await Loop(most).run()
    else:
        log.warning("this pyfuse3 keeps its own loop; requests take longer")
        await pyfuse3.main(1, min(most, 99))
