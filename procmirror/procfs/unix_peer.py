"""The peer of a UNIX socket: what the kernel tells everybody by NETLINK_SOCK_DIAG (sock_diag(7)).

/proc does not name it. The kernel answers for the network namespace of the one who asks.
"""

from __future__ import annotations

import socket
import struct

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_UDIAG_SHOW_PEER, _UNIX_DIAG_PEER = 0x4, 2
_ANY_STATE, _NO_COOKIE = 0xFFFFFFFF, 0xFFFFFFFF
# struct nlmsghdr, struct unix_diag_req and struct unix_diag_msg.
_HEADER, _REQUEST, _MESSAGE = struct.Struct("=IHHII"), struct.Struct("=BBHIIIII"), "=BBBBIII"
_SECONDS = 0.2  # the kernel answers at once


def unix_peer(inode: int) -> int | None:
    """The inode number of the peer of a UNIX socket; None if it has none or none is told."""
    if not 0 < inode < 1 << 32:
        return None
    body = _REQUEST.pack(
        socket.AF_UNIX, 0, 0, _ANY_STATE, inode, _UDIAG_SHOW_PEER, _NO_COOKIE, _NO_COOKIE
    )
    size = _HEADER.size + len(body)
    head = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as asked:
        asked.settimeout(_SECONDS)
        asked.send(head + body)
        return _peer(asked.recv(4096), inode)


def _peer(answer: bytes, inode: int) -> int | None:
    """The attribute UNIX_DIAG_PEER of an answer; None for an error."""
    if len(answer) < _HEADER.size + struct.calcsize(_MESSAGE):
        return None
    size, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY or struct.unpack_from(_MESSAGE, answer, 16)[4] != inode:
        return None
    at, end = 16 + struct.calcsize(_MESSAGE), min(size, len(answer))
    while at + 8 <= end:
        length, attribute = struct.unpack_from("=HH", answer, at)
        if attribute == _UNIX_DIAG_PEER and length >= 8:
            (found,) = struct.unpack_from("=I", answer, at + 4)
            return int(found) or None
        at += max(4, (length + 3) & -4)
    return None
