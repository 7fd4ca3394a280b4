"""The messages between a worker and the process that parses for it.

A worker sends a `Job` for each thread, with answers to what the same job asked for before. The
parser asks for what else it needs and is answered, until it sends the `UserSide`. Each message is
msgpack in one or more messages of a SOCK_SEQPACKET socket.
"""

from __future__ import annotations

import errno
import math
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from procmirror.identity.errors import error
from procmirror.stack.user_side import Job, UserSide

_PIECE_BYTES = 1 << 17
# As long as the longest `maps`, of 65,530 mappings with long names, may be.
_MOST_BYTES = 64 << 20
_MORE, _LAST = b"\1", b"\0"
MOST_FILES = 64
# How much later than its limit a wait may end, in seconds.
_EXACT_SECONDS = 0.1
_TIMEVAL = struct.Struct("ll")


class End(msgspec.Struct, tag="end", array_like=True, frozen=True):
    """Nothing more of the process is wanted: its files are to be closed; answered by `Done`."""


class Memory(msgspec.Struct, tag="memory", array_like=True, frozen=True):
    """Ask for bytes of the process's memory."""

    address: int
    size: int


class Mapped(msgspec.Struct, tag="mapped", array_like=True, frozen=True):
    """Ask for the file of the mapping that begins at `start`."""

    start: int


class DebugFile(msgspec.Struct, tag="debug", array_like=True, frozen=True):
    """Ask for the debug file of a build id (hexadecimal)."""

    build_id: str


class DebugLinks(msgspec.Struct, tag="links", array_like=True, frozen=True):
    """Ask for the files of a name where the debug file of the mapped file `path` may be."""

    path: bytes
    name: bytes


class PerfMap(msgspec.Struct, tag="perf", array_like=True, frozen=True):
    """Ask for the list of names that a JIT compiler wrote."""


class Done(msgspec.Struct, tag="done", array_like=True, frozen=True):
    """The user side of the thread, or None: there is room for nothing in memory, or it has ended.

    `retire`: this process is better replaced.
    """

    found: UserSide | None = None
    retire: bool = False


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """What was asked for: bytes, an errno, or files, each with its key and size."""

    content: bytes = b""
    errno: int = 0
    files: list[tuple[tuple[int, ...], int]] = []


Question: TypeAlias = Memory | Mapped | DebugFile | DebugLinks | PerfMap


class Work(msgspec.Struct, tag="job", array_like=True, frozen=True):
    """A thread of the process that `maps` tells of; None: of the one of the job before.

    `told` answers questions that will be asked, in the order of the descriptors beside it.
    """

    job: Job
    maps: bytes | None
    told: list[tuple[Question, Answer]]


encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Work | End).decode
decode_question = msgspec.msgpack.Decoder(Question | Done).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


class Channel:
    """One end of the socket; only sendmsg(2) and recvmsg(2) are used."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        # Until when the other side is waited for, and when the kernel has to be told how long that
        # still is.
        self._ends = self._told_until = math.inf

    def limit(self, seconds: float) -> None:
        """Let all waits from now on end with OSError(EAGAIN, ETIMEDOUT) after so long together."""
        now = time.monotonic()
        self._ends, self._told_until = now + seconds, now + _EXACT_SECONDS
        self._let_wait(seconds)

    def _limit_wait(self) -> None:
        """Have the next wait end in time, however many short ones there were."""
        now = time.monotonic()
        if now > self._ends:
            raise error(errno.ETIMEDOUT)
        if now > self._told_until:
            self._told_until = now + _EXACT_SECONDS
            self._let_wait(self._ends - now)

    def _let_wait(self, seconds: float) -> None:
        whole = max(0, int(seconds))
        limit = _TIMEVAL.pack(whole, max(1000, int((seconds - whole) * 1_000_000)))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, option, limit)

    def send(self, message: Any, descriptors: Sequence[int] = ()) -> None:
        """Send one message, with copies of descriptors."""
        raw = encode(message)
        while len(raw) > _PIECE_BYTES:
            self._limit_wait()
            self._socket.sendmsg([_MORE, raw[:_PIECE_BYTES]])
            raw = raw[_PIECE_BYTES:]
        rights = struct.pack(f"{len(descriptors)}i", *descriptors) if descriptors else b""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        self._limit_wait()
        self._socket.sendmsg([_LAST, raw], ancillary)

    def receive(self, space: int = 0) -> tuple[bytes, list[int]]:
        """The bytes of one message, with up to so many descriptors; none at the end."""
        pieces, have = [], 0
        while True:
            piece, descriptors = self._piece(space)
            if not piece:
                return b"", []
            pieces.append(piece[1:])
            have += len(piece)
            if have > _MOST_BYTES:
                raise error(errno.EMSGSIZE)
            if piece[:1] == _LAST:
                return b"".join(pieces), descriptors

    def spawned(self) -> tuple[bytes, list[int]]:
        """The first message, which brings the pidfd of the process at the other end."""
        return self._piece(1)

    def _piece(self, space: int) -> tuple[bytes, list[int]]:
        self._limit_wait()
        room = socket.CMSG_SPACE(4 * space) if space else 0
        piece, ancillary, _, _ = self._socket.recvmsg(_PIECE_BYTES + 1, room)
        found: list[int] = []
        for _, kind, data in ancillary:
            if kind == socket.SCM_RIGHTS:
                found += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
        return piece, found

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """End the exchange."""
        self._socket.close()
