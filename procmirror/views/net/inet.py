"""The rows of /proc/net/{tcp,udp,raw,icmp,udplite} and their `6`: one shape, a different tail.

Addresses are 32-bit words printed as hexadecimal numbers of the host, so their bytes are in the
host's order; ports are not. The length of the address tells the family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import hexadecimal, inet_address
from procmirror.decoding.table import Rows, columns_of
from procmirror.decoding.table import rows as each_row
from procmirror.decoding.text import size
from procmirror.decoding.view import Machine, Record, doc
from procmirror.kernel.sockets import TCP_STATES, TCP_TIMERS

Made = TypeVar("Made")
_TIMEWAIT = next(number for number, name in TCP_TIMERS.items() if name == "timewait")
HEADER = ("STATE", "RECV-Q", "SEND-Q", "LOCAL", "PEER", "USER", "INODE")


class Socket(Record, frozen=True):
    """The columns that all of them have."""

    sl: Annotated[int, doc("Number of the row, or of its hash bucket")]
    local_address: Annotated[str, doc("Own address; all zeros for any")]
    local_port: Annotated[
        int | None,
        doc("Own port (identifier for icmp); null for raw, which has a protocol instead"),
    ]
    rem_address: Annotated[str, doc("Address of the peer; all zeros without one")]
    rem_port: Annotated[int, doc("Port of the peer; 0 without one")]
    st: Annotated[
        str, doc("State, by the kernel's name: `LISTEN`; `CLOSE` is an unconnected datagram socket")
    ]
    tx_queue: Annotated[int, doc("Sent and not acknowledged, or not sent", "bytes")]
    rx_queue: Annotated[
        int | None, doc("Received and not read; null for a listening TCP socket", "bytes")
    ]
    tr: Annotated[
        str | None,
        doc("The timer that runs (TCP): `retransmit`, `keepalive`, `timewait`, `persist`"),
    ]
    tm_when: Annotated[float | None, doc("When it expires, from now", "seconds")]
    retrnsmt: Annotated[int, doc("Retransmissions that were not answered yet (TCP)")]
    uid: Annotated[
        int | None, doc("Owner; null in TIME_WAIT, where the kernel prints 0 whoever it was (TCP)")
    ]
    user: Annotated[str | None, doc("Name of the owner")]
    timeout: Annotated[int, doc("Probes that were not answered yet (TCP)")]
    inode: Annotated[
        int,
        doc("Inode, as in the link `socket:[inode]` of a descriptor; 0 when no process holds it"),
    ]
    ref: Annotated[int | None, doc("References in the kernel; null where a row has no count")]
    pointer: Annotated[
        str | None, doc("Address of the socket, hashed; null where the kernel hides it")
    ]


def rows(raw: bytes, make: Callable[[list[bytes]], Made]) -> Rows[Made]:
    """The records that `make` makes of the words of each row below the header."""
    if not raw.strip():  # a kernel without the protocol may print nothing
        return Rows()
    columns_of(raw, "sl local_address")
    return each_row(raw, lambda line: make(line.split()), 1, bounded=True)


def common(words: Sequence[bytes], machine: Machine) -> dict[str, Any]:
    """The fields of `Socket` from the first twelve words of a row."""
    local, remote = endpoint(words[1]), endpoint(words[2])
    state = int(words[3], 16)
    tx_queue, rx_queue = (int(queue, 16) for queue in words[4].split(b":"))
    timer, when = (int(part, 16) for part in words[5].split(b":"))
    # What waits only for its time to pass (struct inet_timewait_sock) has no owner in its row.
    uid = None if timer == _TIMEWAIT else int(words[7])
    slot, timeout, inode = int(words[0].removesuffix(b":")), int(words[8]), int(words[9])
    references = int(words[10]) if len(words) > 10 else None
    every = local[1] | remote[1] | state | tx_queue | rx_queue | timer | when | slot | timeout
    if (every | inode | (uid or 0) | (references or 0)) >> 64:
        raise expected("numbers of 0 to 64 bits", b" ".join(words))
    return {
        "sl": slot,
        "local_address": local[0],
        "local_port": local[1],
        "rem_address": remote[0],
        "rem_port": remote[1],
        "st": TCP_STATES.get(state, f"0x{state:02x}"),
        "tx_queue": tx_queue,
        "rx_queue": rx_queue,
        "tr": TCP_TIMERS.get(timer, f"0x{timer:02x}") if timer else None,
        "tm_when": when / machine.ticks if timer else None,
        "retrnsmt": hexadecimal(words[6]),
        "uid": uid,
        "user": None if uid is None else machine.users.get(uid),
        "timeout": timeout,
        "inode": inode,
        "ref": references,
        "pointer": pointer(words[11]) if len(words) > 11 else None,
    }


def endpoint(word: bytes) -> tuple[str, int]:
    """`0100007F:0016` as ("127.0.0.1", 22)."""
    digits, _, port = word.partition(b":")
    return inet_address(digits), int(port, 16)


def pointer(word: bytes) -> str | None:
    """A kernel pointer, `%pK`: zeros or a word in parentheses where it is hidden."""
    value = int(word, 16) if word.isalnum() else 0
    return f"0x{value:x}" if value else None


def shown(host: str, port: int | str | None) -> str:
    """An address with its port as ss(8) writes it: `127.0.0.1:22`, `[::1]:22`, `0.0.0.0:*`."""
    return f"{f'[{host}]' if ':' in host else host}:{port or '*'}"


def cells(socket: Socket, protocol: str | None = None) -> tuple[str, ...]:
    """What the text of every family begins with: state, queues, addresses, owner, inode.

    A protocol stands for the own port.
    """
    return (
        socket.st,
        size(socket.rx_queue),
        size(socket.tx_queue),
        shown(socket.local_address, protocol or socket.local_port),
        shown(socket.rem_address, socket.rem_port),
        socket.user or ("-" if socket.uid is None else str(socket.uid)),
        str(socket.inode) if socket.inode else "-",
    )
