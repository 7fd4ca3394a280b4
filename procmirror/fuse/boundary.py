"""The error boundary of the handlers: nothing but FUSEError leaves one.

pyfuse3 ends the mount on anything else.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import trio

from procmirror.decoding.view import DecodeError
from procmirror.fuse.counts import Counts
from procmirror.fuse.errno_limits import sendable
from procmirror.fuse.turns import turns
from procmirror.identity.errors import Hidden, StillRunning, Unanswered

log = logging.getLogger("procmirror")

# The operations that end a walk by names. The kernel may have kept some of these names, and repeats
# the walk on ESTALE.
_WALKED = frozenset({"lookup", "getattr", "readlink", "opendir", "open", "listxattr"})
# A thread that has made a request and does not wait for the answer yet is looked at again after so
# many seconds each: ten times in the second for which others may keep it from running.
_PAUSES = tuple(0.001 * 2**number for number in range(10))
# The operations that do not wait for a turn: they give back what a requester holds.
_AT_ONCE = frozenset({"release", "releasedir"})
P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Bounded")


def request(
    handler: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """The error boundary around one handler.

    What the kernel said goes on as its errno, what a decoder said as EIO, a mistake of ours too. A
    request whose thread does not wait yet is begun anew: its handler did nothing so far. Where
    others wait, the handler begins when it is its turn.
    """
    waits = handler.__name__ not in _AT_ONCE

    async def bounded(self: S, /, *arguments: P.args, **keywords: P.kwargs) -> T:
        self.counts.requests += 1
        try:
            if (
                turns.crowded
                and waits
                and turns.are_taken()
                and not self.keeps_others(handler.__name__, arguments)
            ):
                directory = self.directory_of(handler.__name__, arguments)
                await turns.wait(self.account_of, arguments, directory)
            try:
                return await handler(self, *arguments, **keywords)
            except StillRunning:
                # What a lambda here used would be in cells for each request.
                return await _when_it_waits(handler, self, arguments, keywords)
        except Exception as error:  # noqa: BLE001 - whatever else left here would end the mount
            code = self.errno_of(error, handler.__name__, arguments)
        self.counts.failed(code)
        raise pyfuse3.FUSEError(sendable(code))

    bounded.__name__, bounded.__doc__ = handler.__name__, handler.__doc__
    return bounded


async def _when_it_waits(
    handler: Callable[..., Coroutine[Any, Any, T]],
    operations: Bounded,
    arguments: Sequence[Any],
    keywords: Mapping[str, Any],
) -> T:
    """The answer to a request whose thread does not wait yet."""
    for pause in _PAUSES:
        await trio.sleep(pause)
        with suppress(StillRunning):
            return await handler(operations, *arguments, **keywords)
    raise StillRunning


class Bounded(pyfuse3.Operations):
    """Handlers whose errors become errnos and lines of the log."""

    _complained = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()

    def keeps_others(self, name: str, arguments: Sequence[Any]) -> bool:
        """Whether others wait in the kernel until the handler of this name has answered."""
        raise NotImplementedError

    def directory_of(self, name: str, arguments: Sequence[Any]) -> int:
        """The number of the directory that the kernel has locked for a request; 0 for none."""
        raise NotImplementedError

    def errno_of(self, error: Exception, name: str, arguments: Sequence[Any]) -> int:
        """The errno for an error that left the handler of this name."""
        try:
            return self._errno_of(error, name, arguments)
        except Exception:
            log.exception("the error of a request could not be told")
            return errno.EIO

    def _errno_of(self, error: Exception, name: str, arguments: Sequence[Any]) -> int:
        if isinstance(error, pyfuse3.FUSEError):
            return int(error.errno)
        if isinstance(error, DecodeError):
            self.complain("%s", error)
            return errno.EIO
        if isinstance(error, StillRunning):
            error = Unanswered(errno.EACCES, "the requester waits for no answer")
        if not isinstance(error, OSError):
            log.error("a request failed", exc_info=error)
            return errno.EIO
        return self._errno_of_refusal(error, name, arguments)

    def _errno_of_refusal(self, error: OSError, name: str, arguments: Sequence[Any]) -> int:
        code = error.errno or errno.EIO
        if isinstance(error, Unanswered):
            self.complain("not answered: %s", error.strerror)
            # Any other errno makes the kernel drop the name, with whatever is mounted or exists
            # below it.
            return errno.ENOMEM if name == "lookup" else code
        if name == "lookup" and self.keeps_mounted(arguments, error):
            return errno.ENOMEM
        return self._at_the_end_of_a_walk(error, code, name, arguments)

    def _at_the_end_of_a_walk(
        self, error: OSError, code: int, name: str, arguments: Sequence[Any]
    ) -> int:
        gone = code in {errno.ENOENT, errno.ESRCH} and not isinstance(error, Hidden)
        return self.vanished(arguments, code) if gone and name in _WALKED else code

    def complain(self, message: str, about: object) -> None:
        """Log at most one line a second about what any user can cause."""
        now = time.monotonic()
        if now - self._complained > 1:
            self._complained = now
            log.warning(message, about)

    def account_of(self, arguments: Sequence[Any]) -> int:
        """The account whose turn a request waits for, from the arguments of its handler."""
        raise NotImplementedError

    def keeps_mounted(self, arguments: Sequence[Any], error: OSError) -> bool:
        """Whether the refusal of a LOOKUP may not cost what is mounted on the name."""
        raise NotImplementedError

    def vanished(self, arguments: Sequence[Any], code: int) -> int:
        """The errno for what does not exist, from the arguments of a handler and its own answer."""
        raise NotImplementedError
