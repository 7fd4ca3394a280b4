"""One worker process as the daemon holds it, and its results."""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import socket
from collections.abc import Hashable
from contextlib import suppress

import msgspec

from procmirror.identity.errors import Unanswered, error
from procmirror.workers.protocol import (
    DONE,
    LONG,
    SPOOLED,
    Reply,
    Request,
    decode_reply,
    encode,
    make_room,
    message_room,
)
from procmirror.workers.result import Result

log = logging.getLogger("procmirror")

# The buffer for every message: a message is decoded before any other task can run.
_message = message_room()
_room = memoryview(_message)
# The room for the one descriptor that comes with a message.
_ROOM_BESIDE = socket.CMSG_SPACE(4)


def result_of(reply: Reply, descriptor: int) -> Result:
    """The result in a last reply. Raises the OSError in it, and logs the reason."""
    if reply.code in {SPOOLED, LONG} and descriptor < 0:
        # The daemon had no room for the descriptor.
        raise error(errno.EMFILE)
    if reply.code == LONG:
        with open(descriptor, "rb") as spool:
            spool.seek(0)
            return Result(decode_reply(spool.read()).result)
    if reply.code in {DONE, SPOOLED}:
        return Result(reply.result, descriptor)
    if reply.result:
        log.warning("%s", reply.result)
    raise error(reply.code)


class WorkerHandle:
    """The socket and the pidfd of a worker.

    `key` says in which namespaces it is (Placement.key). `account` is charged for it if these are
    not the daemon's, else None. `busy_for` is the account that it works for at the moment. `asked`
    is the process that its last request was about, and the account of that request. `pid` is its
    number in the daemon's pid namespace, and `directory` its directory in a procfs, below which no
    other process that gets the number is found. `note` is the descriptor of its note of reads.
    """

    __slots__ = (
        "account",
        "asked",
        "busy_for",
        "channel",
        "directory",
        "idle_since",
        "key",
        "note",
        "pid",
        "pidfd",
        "poll",
        "started",
    )

    def __init__(
        self,
        channel: socket.socket,
        pidfd: int,
        pid: int = 0,
        note: int = -1,
        directory: int = -1,
    ) -> None:
        make_room(channel)
        self.key: Hashable = ()
        self.account: int | None = None
        self.busy_for: int | None = None
        self.asked = (b"", 0)
        self.idle_since = self.started = 0.0
        self.channel = channel
        self.pidfd = pidfd
        self.pid = pid
        self.note = note
        self.directory = directory
        poller = select.poll()
        poller.register(channel, select.POLLIN)
        self.poll = poller.poll

    def send(self, request: Request, descriptors: list[int]) -> None:
        """Send a request; OSError if the worker is gone."""
        socket.send_fds(self.channel, [encode(request)], descriptors)

    def receive(self) -> tuple[Reply, int]:
        """One message with its descriptor or -1; Unanswered(EIO) if the worker is gone.

        Also where it sends what is no message.
        """
        size, ancillary, _, _ = self.channel.recvmsg_into([_message], _ROOM_BESIDE)
        descriptor = -1
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS and len(data) >= 4:
                descriptor = int.from_bytes(data[:4], "little", signed=True)
        if not size:
            raise Unanswered(errno.EIO, "the worker is gone")
        try:
            return decode_reply(_room[:size]), descriptor
        except msgspec.MsgspecError as malformed:
            if descriptor >= 0:
                os.close(descriptor)
            raise Unanswered(errno.EIO, f"the worker sent no message: {malformed}") from malformed

    def close(self) -> None:
        """Let the worker end: it ends when its socket is closed."""
        self.channel.close()
        self.forget()

    def forget(self) -> None:
        """Close all that it is known by."""
        for descriptor in (self.note, self.directory, self.pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.note = self.directory = self.pidfd = -1

    def kill(self) -> None:
        """Kill the worker; it is known until `forget`."""
        self.channel.close()
        with suppress(OSError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
