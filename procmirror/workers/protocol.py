"""The messages between the daemon, its fork server and its workers.

Each is msgpack in one SOCK_SEQPACKET message, with descriptors beside it.
"""

from __future__ import annotations

import mmap
import socket
from typing import Any

import msgspec

from procmirror.identity.identity import Identity
from procmirror.workers.operations import AnyOperation

# The size in bytes has room for 65,536 groups, the most a requester can have, and for the longest
# READ of FUSE.
MESSAGE_BYTES = 1 << 19
_SO_SNDBUFFORCE = 32
# What the fork server gets instead of a SpawnRequest when the mount is used for the first time.
LOAD_VIEWS = b"\0"
DONE, PROGRESS, TARGET_IS_SELF, SPOOLED, PARTIAL, SUBREQUEST, LONG = 0, -1, -2, -3, -4, -5, -6


class Request(msgspec.Struct, array_like=True, frozen=True):
    """An operation, with the identity and the process that it is about.

    `self_capabilities` are added to the identity's. `target` is the number of the process in the
    mirrored procfs, empty for an entry that belongs to no process. `namespaces` are the links of
    the requester's namespaces by kind, for results that say which namespace is the requester's.
    `nice` is the nice value that the worker has meanwhile.
    """

    operation: AnyOperation
    identity: Identity
    self_capabilities: int = 0
    target: bytes = b""
    namespaces: dict[str, str] = {}
    nice: int = 0


class Reply(msgspec.Struct, array_like=True, frozen=True):
    """The answer of a worker.

    `code` is DONE, an errno (`result` is then a line for the log, or None), or one of these:
    PROGRESS: the worker is still at it. PARTIAL: `result` bytes of a spool are there; the first one
    brings its descriptor. SPOOLED: a spool is whole. LONG: the reply itself is in a spool, as it
    is too long for a message. TARGET_IS_SELF: the request is about this very worker, another must
    do it. SUBREQUEST: `result` is a Request about this worker for another. `retire`: the
    worker has grown and is better ended.
    """

    code: int
    result: Any = None
    retire: bool = False


class SpawnRequest(msgspec.Struct, array_like=True, frozen=True):
    """Ask the fork server for a worker in namespaces; descriptors follow as `kinds`.

    With a `label` of a security module it takes that on, and says so before its first answer.

    The answer is `serial` and a number: an errno, or the negative pid of the worker, with its
    socket, its pidfd and its note of reads beside it.
    """

    serial: int
    identity: Identity
    kinds: tuple[str, ...] = ()
    label: bytes = b""


encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
decode_spawn_request = msgspec.msgpack.Decoder(SpawnRequest).decode
decode_spawned = msgspec.msgpack.Decoder(tuple[int, int]).decode


def make_room(channel: socket.socket) -> None:
    """Let the buffers of a socket hold a message of the largest size.

    The limit of the system does not apply to a process that may exceed it.
    """
    try:
        channel.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * MESSAGE_BYTES)
    except OSError:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES)


def message_room() -> mmap.mmap:
    """Memory of this process alone for a message of the largest size; what is unused is not taken.

    A bytearray would take all of it at once.
    """
    return mmap.mmap(-1, MESSAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
