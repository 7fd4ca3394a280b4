"""From the command to a daemon that answers: the waits, their limits, and the messages."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from procmirror.cli.errors import CommandError, Ended
from procmirror.decoding.proc_files import stat_columns

# A daemon that neither answered nor used the processor for the first number of seconds is
# abandoned. One that goes on working (on a loaded or emulated machine) is waited for up to the
# second number.
_IDLE_SECONDS, _LONGEST_SECONDS = 30.0, 900.0
# The time in seconds that an abandoned daemon has to unmount and end before it is killed.
_TO_END_SECONDS = 5.0
_BETWEEN_LOOKS = 0.02
# The signals that end a command.
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READY = b"ready"
# The indexes of these columns after the name in /proc/PID/stat (proc_pid_stat(5)).
_UTIME, _CHILDREN_STIME = 11, 14


def end_on_signals() -> None:
    """Let each signal that ends a command raise Ended, but for one that is ignored."""
    _set(_end)


def _end(number: int, _: object) -> NoReturn:
    raise Ended(f"ended by {signal.Signals(number).name}")


def _set(handler: Callable[[int, Any], object] | signal.Handlers) -> None:
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def hold_signals() -> None:
    """Let the signals that end a command wait until they are taken."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _take_signals() -> None:
    """Take the signals that have waited, and those that come."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def die_of_signals() -> None:
    """Take the signals that were held: each ends this process, which has not mounted yet, at once.

    In the midst of an import an exception may be taken for a fault of the module.
    """
    _set(signal.SIG_DFL)
    _take_signals()


class Starting:
    """A daemon that is starting, as the command sees it.

    `ready` is a pipe on which the daemon reports that it is ready, or why it is not; `proc` a
    descriptor of a procfs that shows the daemon; `path` the mountpoint.
    """

    def __init__(self, daemon: int, ready: int, proc: int, path: str) -> None:
        self._daemon = daemon
        self._ready = ready
        self._proc = proc
        self._path = path

    def wait(self) -> None:
        """Wait until the mount answers. Raises CommandError with the reason if it does not.

        An abandoned daemon is ended, also after a signal that ends the command. Such signals are
        held before this and afterwards, and taken meanwhile.
        """
        try:
            _take_signals()
            self._wait()
            hold_signals()
        except Ended:
            hold_signals()
            self._end_daemon()
            raise

    def _wait(self) -> None:
        message = self._message()
        if message != _READY:
            words = message.decode(errors="backslashreplace")
            raise CommandError(words or "the daemon ended while starting")
        try:
            os.stat(self._path)
        except OSError as silent:
            raise CommandError(f"{self._path}: does not answer: {silent.strerror}") from None

    def _message(self) -> bytes:
        start, used = time.monotonic(), -1
        while not select.select([self._ready], [], [], _IDLE_SECONDS)[0]:
            before, used = used, self._processor_time()
            if used == before or time.monotonic() - start > _LONGEST_SECONDS:
                self._give_up(time.monotonic() - start)
        return os.read(self._ready, 4096)

    def _processor_time(self) -> int:
        """The clock ticks that the daemon and its ended children have used; 0 if it is gone."""
        with suppress(OSError, ValueError):
            path = f"{self._daemon}/stat"
            with open(os.open(path, os.O_RDONLY, dir_fd=self._proc), "rb") as stat:
                fields = stat_columns(stat.read())
            return sum(map(int, fields[_UTIME : _CHILDREN_STIME + 1]))
        return 0

    def _end_daemon(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(self._daemon, number)
            limit = time.monotonic() + _TO_END_SECONDS
            while not self._has_ended():
                if time.monotonic() > limit:
                    break
                time.sleep(_BETWEEN_LOOKS)
            else:
                return

    def _has_ended(self) -> bool:
        try:
            look = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._daemon, look) is not None
        except ChildProcessError:
            return True

    def _give_up(self, seconds: float) -> NoReturn:
        self._end_daemon()
        raise CommandError(f"the daemon did not start within {seconds:.0f} seconds, and was ended")


def tell_ready(answer: int) -> None:
    """Tell the waiting command that the mount answers."""
    tell(answer, _READY)


def tell(answer: int, message: bytes) -> None:
    """Send the waiting command one message, once."""
    with suppress(OSError):
        os.write(answer, message[:4096])
        os.close(answer)


def is_of_the_system(error: BaseException) -> bool:
    """Whether an error is a refusal of the system, and no mistake of this program."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_of_the_system, error.exceptions))
    return isinstance(error, OSError)


def reason_of(error: BaseException) -> str:
    """An unexpected error as one line: the system's message, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    if isinstance(error, BaseExceptionGroup):
        return reason_of(error.exceptions[0])
    return f"{type(error).__name__}: {error}"
