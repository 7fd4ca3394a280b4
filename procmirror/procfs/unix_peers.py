"""Which UNIX sockets are connected with each other, and which listen: asked by sock_diag(7).

Source: NETLINK_SOCK_DIAG, net/unix/diag.c. /proc/net/unix does not name the peer, and it names a
file as it was bound, which may have another name now or in another mount namespace.

The kernel answers everybody, for the network namespace of the thread that asks.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator

from procmirror.identity.errors import error
from procmirror.stack.target import Inode, UnixListener

# include/uapi/linux/netlink.h, sock_diag.h and unix_diag.h
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_UDIAG_SHOW_NAME, _UDIAG_SHOW_VFS, _UDIAG_SHOW_PEER = 1, 2, 4
_UNIX_DIAG_NAME, _UNIX_DIAG_VFS, _UNIX_DIAG_PEER = 0, 1, 2
# include/net/tcp_states.h; include/linux/kdev_t.h
_ALL_STATES, _LISTEN, _MINOR_BITS = 0xFFFFFFFF, 1 << 10, 20
_HEADER, _MESSAGE = struct.Struct("=IHHII"), struct.Struct("=BBBBIII")
_ATTRIBUTE, _FILE = struct.Struct("=HH"), struct.Struct("=II")
_REQUEST = struct.Struct("=BBHIIIII")
_CONNECTED = frozenset((socket.SOCK_STREAM, socket.SOCK_SEQPACKET))
# How many sockets are taken of an answer, and how long a part of it may take in seconds.
_MOST, _SECONDS = 1 << 18, 1.0


def unix_peers() -> dict[int, int]:
    """The inode of the peer of each connected UNIX stream socket, by its own inode.

    A datagram socket is left out: others than its peer may write to it. OSError where the kernel
    has no such answer.
    """
    with _query(0, _NLM_F_REQUEST | _NLM_F_DUMP) as asked:
        return dict(filter(None, map(peer, _answered(asked))))


def unix_listeners() -> list[UnixListener]:
    """The UNIX sockets that listen; OSError where the kernel has no such answer."""
    shows = _UDIAG_SHOW_NAME | _UDIAG_SHOW_VFS
    with _query(0, _NLM_F_REQUEST | _NLM_F_DUMP, shows, _LISTEN) as asked:
        return [listener(body) for body in _answered(asked)]


def unix_peer(inode: int) -> int | None:
    """The inode number of the peer of one UNIX socket; None if it has none or none is told."""
    if not 0 < inode < 1 << 32:
        return None
    with _query(inode, _NLM_F_REQUEST) as asked:
        answer = asked.recv(4096)
    told = (body for kind, body in messages(answer) if kind == _SOCK_DIAG_BY_FAMILY)
    return next((_peer(body) or None for body in told), None)


def _query(
    inode: int, flags: int, shows: int = _UDIAG_SHOW_PEER, states: int = _ALL_STATES
) -> socket.socket:
    """A socket from which the answer can be received: of one UNIX socket, or with 0 of all."""
    body = _REQUEST.pack(socket.AF_UNIX, 0, 0, states, inode, shows, *([0xFFFFFFFF] * 2))
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, flags, 1, 0)
    asked = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    try:
        asked.settimeout(_SECONDS)
        asked.send(header + body)
    except BaseException:
        asked.close()
        raise
    return asked


def _answered(asked: socket.socket) -> Iterator[bytes]:
    """The message of each socket of an answer."""
    count = 0
    while count < _MOST:
        for kind, body in messages(asked.recv(1 << 16)):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                raise error(-struct.unpack_from("=i", body)[0])
            count += 1
            yield body


def messages(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and the body of each message of a netlink datagram."""
    while len(raw) >= _HEADER.size:
        size, kind, *_ = _HEADER.unpack_from(raw)
        if size < _HEADER.size:
            return
        yield kind, raw[_HEADER.size : size]
        raw = raw[size + 3 & ~3 :]


def peer(body: bytes) -> tuple[int, int] | None:
    """The inodes of a connected stream socket and its peer; None for any other socket.

    A connection that nobody has accepted yet has no inode (0).
    """
    _, kind, _, _, inode, *_ = _MESSAGE.unpack_from(body)
    other = _peer(body)
    return (inode, other) if kind in _CONNECTED and inode and other else None


def listener(body: bytes) -> UnixListener:
    """A listening socket: its inode, its name as bound, and the file of that name, if it has one.

    The kernel tells the lower 32 bits of the number of the file.
    """
    told = dict(_attributes(body))
    file = told.get(_UNIX_DIAG_VFS, b"")
    number, device = _FILE.unpack(file) if len(file) == _FILE.size else (0, 0)
    place = f"{device >> _MINOR_BITS}:{device & (1 << _MINOR_BITS) - 1}"
    return UnixListener(
        _MESSAGE.unpack_from(body)[4],
        told.get(_UNIX_DIAG_NAME, b""),
        Inode(place, number) if number else None,
    )


def _peer(body: bytes) -> int:
    """The attribute UNIX_DIAG_PEER of a message; 0 without it."""
    return int.from_bytes(dict(_attributes(body)).get(_UNIX_DIAG_PEER, b"")[:4], sys.byteorder)


def _attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a message, each with its content."""
    rest = body[_MESSAGE.size :]
    while len(rest) >= _ATTRIBUTE.size:
        size, attribute = _ATTRIBUTE.unpack_from(rest)
        yield attribute, rest[_ATTRIBUTE.size : size]
        rest = rest[max(size, _ATTRIBUTE.size) + 3 & ~3 :]
