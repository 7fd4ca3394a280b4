"""The tasks of trio that run pyfuse3's session loops.

One session loop reads at a time. When a handler starts to wait, another task with a session loop is
started; when the handler is done and another loop reads, its loop ends (min_tasks 0), and its task.

Where several requests wait, one of these tasks resumes many session loops by turns
(`Loop.scheduler`). It has one of them read as long as the kernel has a request, whose handler then
waits for its turn (`turns`); between them the handler of the account goes on whose turn it is. Of
requests that are answered without a turn there may be no end, so that few of them come before the
next turn.
"""

from __future__ import annotations

import contextvars
import errno
import logging
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Self

import trio

from procmirror.fuse.turns import Parked, turns

if TYPE_CHECKING:
    from procmirror.fuse.loop import Loop

log = logging.getLogger("procmirror")

# Why a request may not be received now, as there is no memory for it, and when to try again.
_PASSING = frozenset((errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EINTR))
_AGAIN = 0.1
# What a session loop suspends with that would read the next request while others wait for their
# turn. It is resumed with whether there is a request.
READER = object()
# What a session loop that has ended leaves.
_ENDED = object()


class Session:
    """One session loop of pyfuse3: whether its handler waits for something at the moment.

    It has a context of its own, as another task may go on with it.
    """

    __slots__ = ("_context", "_coroutine", "waits")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._context = contextvars.copy_context()
        self._coroutine = coroutine
        self.waits = False

    def send(self, value: object) -> object:
        """Resume it with a value; what it suspends with then. StopIteration at its end."""
        return self._context.run(self._coroutine.send, value)

    def throw(self, error: BaseException) -> object:
        """Resume it with an error."""
        return self._context.run(self._coroutine.throw, error)

    def close(self) -> None:
        """End it without an answer."""
        self._coroutine.close()


class SessionNursery:
    """pyfuse3's nursery, which starts session loops in tasks of ours."""

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
            self._spawn(lambda: Session(function(*arguments)), name)

    def _spawn(self, make: Callable[[], Session], name: object) -> None:
        self._loop.sessions += 1
        self._nursery.start_soon(self._run, make, name, name=name)

    async def _run(self, make: Callable[[], Session], name: object) -> None:
        try:
            while not await self._driven(make, name):
                pass
        finally:
            self._loop.sessions -= 1

    async def _driven(self, make: Callable[[], Session], name: object) -> bool:
        """Run session loops; whether they have ended, and not only a receive failed for now."""
        try:
            await Driver(self._loop, make, lambda: self._spawn(make, name)).run()
        except OSError as failed:
            if failed.errno not in _PASSING:
                raise
            log.warning("no request could be received: %s", failed.strerror)
            await trio.sleep(_AGAIN)
            return False
        return True


class Driver:
    """What one task of trio does: it runs a session loop, or many by turns."""

    def __init__(
        self, loop: Loop, make: Callable[[], Session], start_another: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._make = make
        self._start_another = start_another

    @types.coroutine
    def run(self) -> Generator[Any, Any, None]:
        """Run session loops; whenever one suspends, see whether reader or handler waits."""
        session: Session | None = self._make()
        value: Any = None
        try:
            while session is not None:
                trap = self._step(session, session.send, value)
                while not (trap is _ENDED or trap is READER or isinstance(trap, Parked)):
                    self._suspended(session)
                    try:
                        value = yield trap
                    except BaseException as error:  # noqa: BLE001 - whatever trio throws belongs to the session loop
                        trap = self._step(session, session.throw, error)
                    else:
                        trap = self._step(session, session.send, value)
                session, value = yield from self._next(session, trap)
        finally:
            if session is not None and session.waits:
                self._loop.waiting -= 1
            if self._loop.scheduler is self:
                self._loop.scheduler = None

    def _step(self, session: Session, step: Callable[[Any], Any], value: Any) -> Any:
        """What a session loop suspends with that is resumed."""
        self._loop.current = session
        try:
            return step(value)
        except StopIteration:
            return _ENDED
        except OSError as ended:
            # The connection was aborted, as by an umount(8) with much left to be closed: there is
            # nothing more to read.
            if ended.errno != errno.ECONNABORTED:
                raise
            return _ENDED

    def _suspended(self, session: Session) -> None:
        """Note that a session loop waits in trio; where that is its handler, another one reads."""
        loop = self._loop
        if loop.reading:
            loop.reading = False
        elif not session.waits:
            session.waits = True
            loop.waiting += 1
            loop.end_pass()
            if loop.scheduler is self:
                loop.scheduler = None
            if loop.sessions < loop.most:
                self._start_another()

    async def _next(
        self, session: Session, trap: object
    ) -> tuple[Session, bool | None] | tuple[None, None]:
        """The session loop that goes on in this task, and what it is resumed with.

        None where this task has done its part.
        """
        loop = self._loop
        if session.waits:
            session.waits = False
            loop.waiting -= 1
        if isinstance(trap, Parked):
            turns.add(trap, session)
            loop.without_turn -= 1
        elif trap is READER:
            loop.reader = session
        elif loop.reader is None and (turns.size or loop.scheduler is self):
            # With nobody else to read a session loop ends only when there is nothing more to read.
            loop.exited = True
        if loop.scheduler is None and (turns.size or loop.reader):
            loop.scheduler = self
        if loop.scheduler is not self:
            return None, None
        return await self._next_by_turns()

    async def _next_by_turns(self) -> tuple[Session, bool | None] | tuple[None, None]:
        loop = self._loop
        others, more = loop.look()
        if others:
            await trio.lowlevel.checkpoint()
            loop.begin_pass()
        if more and loop.reads_on():
            loop.without_turn += 1
            reader, loop.reader = loop.reader, None
            return (reader, True) if reader else (self._make(), None)
        if turns.size:
            return loop.next_turn(more), None
        loop.end_turns()
        reader, loop.reader = loop.reader, None
        if reader is None and loop.exited:
            return None, None
        return (reader, False) if reader else (self._make(), None)
