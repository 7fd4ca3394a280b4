"""From the command to a daemon that answers: the waits, their limits, and the messages."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from typing import NoReturn

from procmirror.cli.errors import CommandError
from procmirror.decoding.proc_files import stat_columns

# A daemon that neither answered nor used the processor for the first number of seconds is
# abandoned. One that goes on working (on a loaded or emulated machine) is waited for up to the
# second number.
_IDLE_SECONDS, _LONGEST_SECONDS = 30.0, 900.0
# The time in seconds that an abandoned daemon has to unmount and end before it is killed.
_TO_END_SECONDS = 5.0
_READY = b"ready"
# The indexes of these columns after the name in /proc/PID/stat (proc_pid_stat(5)).
_UTIME, _CHILDREN_STIME = 11, 14


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

        An abandoned daemon is ended.
        """
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

    def _give_up(self, seconds: float) -> NoReturn:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(self._daemon, number)
            # The pipe ends when the daemon ends.
            if select.select([self._ready], [], [], _TO_END_SECONDS)[0]:
                break
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
