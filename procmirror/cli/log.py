"""The daemon's log: lines to syslog or to standard error, which never delay an answer.

The reader of the lines may be slow, stopped, or itself a reader of the mirror. So the thread that
serves requests never waits for the log. A line that is not accepted at once is kept, the oldest of
too many lines is dropped, and the number of dropped lines is logged as soon as lines are accepted
again.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import stat
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# The largest number of lines that wait, and the longest line in bytes: a pipe accepts so much at
# once or not at all (PIPE_BUF, pipe(7)).
_MOST_LINES, _MOST_BYTES = 100, 4096
# The facility of daemons and the severities of syslog(3).
_DAEMON = 3 << 3
_SEVERITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)


class NonBlockingHandler(logging.Handler):
    """Passes lines to `send`, which gets the bytes of a line and returns how many it accepted.

    `send` raises BlockingIOError if it would have to wait, and any other OSError if nobody reads.
    """

    def __init__(
        self, send: Callable[[bytes], int], frame: Callable[[int, str], bytes], words: str
    ) -> None:
        """`frame` makes the bytes of a line from a level and a text, `words` formats the text."""
        super().__init__()
        self._send = send
        self._frame = frame
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self.setFormatter(logging.Formatter(words))

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record, a traceback as one line each; never waits and never raises OSError."""
        for line in self.format(record).splitlines():
            self._waiting.append(self._frame(record.levelno, line[: _MOST_BYTES // 4 - 64]))
        while len(self._waiting) > _MOST_LINES:
            self._waiting.popleft()
            self._dropped += 1
        self.flush()

    def flush(self) -> None:
        """Send the lines that are accepted now."""
        with suppress(OSError):
            while self._waiting:
                taken = self._send(self._waiting[0])
                rest = self._waiting.popleft()[taken:]
                if rest:
                    self._waiting.appendleft(rest)
                elif self._dropped:
                    self._waiting.appendleft(self._complaint())

    def _complaint(self) -> bytes:
        """The line that says how many lines were dropped; the count starts again from 0."""
        dropped, self._dropped = self._dropped, 0
        record = logging.LogRecord(
            "procmirror",
            logging.WARNING,
            __file__,
            0,
            "%d lines of the log were dropped",
            (dropped,),
            None,
        )
        return self._frame(record.levelno, self.format(record))


def to_journal_or_stderr() -> logging.Handler:
    """A handler for the journal where it takes standard error, else for standard error itself.

    JOURNAL_STREAM has device and inode of standard error then (systemd.exec(5)).
    """
    found = os.fstat(2)
    if os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}":
        return to_journal()
    return to_stderr()


def to_journal(path: str = "/run/systemd/journal/socket") -> logging.Handler:
    """A handler for systemd's journal, in its own protocol: each line with fields.

    MESSAGE, PRIORITY, SYSLOG_IDENTIFIER and PROCMIRROR_LEVEL (journal(7), Native Journal Protocol).
    """
    return NonBlockingHandler(_Syslog(path).send, _journal_frame, "%(message)s")


def _journal_frame(level: int, line: str) -> bytes:
    severity = next((number for least, number in _SEVERITIES if level >= least), 7)
    fields = {
        "MESSAGE": line,
        "PRIORITY": severity,
        "SYSLOG_FACILITY": _DAEMON >> 3,
        "SYSLOG_IDENTIFIER": "procmirror",
        "SYSLOG_PID": os.getpid(),
        "PROCMIRROR_LEVEL": logging.getLevelName(level),
    }
    # A value in this form ends with its line, and a line of the log has no end inside.
    return "".join(f"{name}={value}\n" for name, value in fields.items()).encode(errors="replace")


def to_stderr() -> logging.Handler:
    """A handler for standard error: a file, a terminal, a pipe or a socket."""
    return NonBlockingHandler(
        _stderr(),
        lambda _, line: line.encode(errors="replace") + b"\n",
        "procmirror: %(levelname)s: %(message)s",
    )


def to_syslog(path: str = "/dev/log") -> logging.Handler:
    """A handler for the socket of syslog; lines are kept while nobody listens there."""
    return NonBlockingHandler(
        _Syslog(path).send, _syslog_frame, "procmirror[%(process)d]: %(message)s"
    )


def _syslog_frame(level: int, line: str) -> bytes:
    severity = next((number for least, number in _SEVERITIES if level >= least), 7)
    return f"<{_DAEMON | severity}>{line}\0".encode(errors="replace")


def _stderr() -> Callable[[bytes], int]:
    """A function that writes to descriptor 2 without waiting.

    O_NONBLOCK must not be set on an open file that other processes share, so a pipe or terminal is
    opened once more.
    """
    kind = os.fstat(2).st_mode
    if stat.S_ISSOCK(kind):
        shared = socket.socket(fileno=os.dup(2))
        return lambda data: shared.send(data, socket.MSG_DONTWAIT)
    if stat.S_ISREG(kind):
        return lambda data: os.write(2, data)
    try:
        own = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return _written_if_ready
    return lambda data: os.write(own, data)


def _written_if_ready(data: bytes) -> int:
    """Write to descriptor 2 if it accepts something, if it cannot be opened once more."""
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError
    return os.write(2, data)


class _Syslog:
    """The socket of syslog, which is connected again if the log daemon was restarted."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def send(self, data: bytes) -> int:
        """Send a line; connect again, once, to a log daemon that was restarted."""
        if self._socket is not None:
            try:
                return self._socket.send(data)
            except BlockingIOError:
                raise
            except OSError:
                self._socket.close()
                self._socket = None
        self._socket = self._connected()
        return self._socket.send(data)

    def _connected(self) -> socket.socket:
        try:
            return self._connected_by(socket.SOCK_DGRAM)
        except OSError as refused:
            if refused.errno != errno.EPROTOTYPE:
                raise
        return self._connected_by(socket.SOCK_STREAM)

    def _connected_by(self, kind: socket.SocketKind) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, kind)
        channel.setblocking(False)  # noqa: FBT003
        try:
            channel.connect(self._path)
        except OSError:
            channel.close()
            raise
        return channel
