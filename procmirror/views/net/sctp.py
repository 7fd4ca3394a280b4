"""/proc/net/sctp/: SCTP's endpoints, associations, remote addresses and counters.

Source: net/sctp/proc.c.

Tables are read by their headers: `assocs` gained columns behind the addresses, which are lists of
their own, an asterisk at the primary one. Times are in ticks whose length the kernel does not tell.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from procmirror.decoding.reasons import expected
from procmirror.decoding.shapes import Count, counters, gauges, ipv6, lines
from procmirror.decoding.table import Row, rows
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Extra, Machine, Record, counted, doc
from procmirror.kernel.sockets import TCP_STATES

_DIGITS = 32  # of an address of IPv6
_ADDRESSES = "Its own addresses; `*` before the primary one"
# net/sctp/constants.h
_STATES = {
    "0": "CLOSED",
    "1": "COOKIE_WAIT",
    "2": "COOKIE_ECHOED",
    "3": "ESTABLISHED",
    "4": "SHUTDOWN_PENDING",
    "5": "SHUTDOWN_SENT",
    "6": "SHUTDOWN_RECEIVED",
    "7": "SHUTDOWN_ACK_SENT",
}
# include/net/sctp/structs.h
_STYLES = {"0": "UDP", "1": "UDP_HIGH_BANDWIDTH", "2": "TCP"}
_TRANSPORTS = {"0": "INACTIVE", "1": "PF", "2": "ACTIVE", "3": "UNCONFIRMED", "4": "UNKNOWN"}


class Endpoint(Record, frozen=True, kw_only=True):
    """One endpoint."""

    endpoint: Annotated[str, doc("Address of it in the kernel, hashed")]
    socket: Annotated[str, doc("Address of its socket in the kernel, hashed")]
    style: Annotated[str, doc("`UDP`: one to many, `TCP`: one to one")]
    socket_state: Annotated[str, doc("State of the socket, by the names of TCP")]
    bucket: Annotated[int, doc("Where it is in the hash table")]
    local_port: Annotated[int, doc("Its port")]
    uid: Annotated[int, doc("Owner")]
    inode: Annotated[int, doc("Inode of the socket")]
    local: Annotated[list[str], doc(_ADDRESSES)]
    extra: Extra = UNSET


class Association(Record, frozen=True, kw_only=True):
    """One association."""

    association: Annotated[str, doc("Address of it in the kernel, hashed")]
    socket: Annotated[str, doc("Address of its socket in the kernel, hashed")]
    style: Annotated[str, doc("`UDP`: one to many, `TCP`: one to one")]
    socket_state: Annotated[str, doc("State of the socket, by the names of TCP")]
    state: Annotated[str, doc("State of the association")]
    bucket: Annotated[int, doc("Where it is in the hash table")]
    id: Annotated[int, doc("Number of the association")]
    tx_queue: Annotated[int, doc("Waits to be sent", "bytes")]
    rx_queue: Annotated[int, doc("Waits to be read", "bytes")]
    uid: Annotated[int, doc("Owner")]
    inode: Annotated[int, doc("Inode of the socket")]
    local_port: Annotated[int, doc("Own port")]
    remote_port: Annotated[int, doc("Port of the peer")]
    local: Annotated[list[str], doc(_ADDRESSES)]
    remote: Annotated[list[str], doc("Addresses of the peer; `*` before the primary one")]
    heartbeat: Annotated[int | None, doc("Between heartbeats, in ticks of the kernel")] = None
    in_streams: Annotated[int | None, doc("Streams in")] = None
    out_streams: Annotated[int | None, doc("Streams out")] = None
    max_retransmissions: Annotated[int | None, doc("After so many it is given up")] = None
    init_retries: Annotated[int | None, counted("INITs sent again")] = None
    shutdown_retries: Annotated[int | None, counted("SHUTDOWNs sent again")] = None
    retransmissions: Annotated[int | None, counted("Chunks sent again")] = None
    wmem_alloc: Annotated[int | None, doc("Memory for sending", "bytes")] = None
    wmem_queued: Annotated[int | None, doc("Memory in the queue for sending", "bytes")] = None
    sndbuf: Annotated[int | None, doc("Size of the send buffer", "bytes")] = None
    rcvbuf: Annotated[int | None, doc("Size of the receive buffer", "bytes")] = None
    extra: Extra = UNSET


class Remote(Record, frozen=True, kw_only=True):
    """One address of a peer."""

    address: Annotated[str, doc("The address")]
    association: Annotated[int, doc("Number of the association")]
    heartbeat: Annotated[bool, doc("Whether heartbeats are sent")]
    rto: Annotated[int, doc("Timeout of a retransmission, in ticks of the kernel")]
    max_retransmissions: Annotated[int, doc("After so many the address is given up")]
    retransmissions: Annotated[int, doc("Not in use: 0")]
    start: Annotated[int, doc("Not in use: 0")]
    state: Annotated[str | None, doc("`ACTIVE`, `INACTIVE`, `PF`; null in old kernels")] = None
    extra: Extra = UNSET


def _words(word: bytes) -> str:
    return decoded(word)


def _address(word: bytes) -> str:
    """An address; those of IPv6 are printed in full."""
    star = b"*" if word.startswith(b"*") else b""
    digits = word.removeprefix(b"*").replace(b":", b"")
    return decoded(star) + ipv6(digits) if len(digits) == _DIGITS else decoded(word)


def _style(word: bytes) -> str:
    return _STYLES.get(decoded(word), decoded(word))


def _socket_state(word: bytes) -> str:
    return TCP_STATES.get(int(word), decoded(word))


def eps(raw: bytes, _: Machine) -> list[Endpoint]:
    """The endpoints."""
    titles = _titles(raw, "ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS")
    return rows(raw, lambda line: _endpoint(titles, line.split()), 1)


def _endpoint(titles: list[str], words: list[bytes]) -> Endpoint:
    at = titles.index("LADDRS")
    row = Row(titles[:at], words[:at])
    return Endpoint(
        endpoint=row("ENDPT", _words),
        socket=row("SOCK", _words),
        style=row("STY", _style),
        socket_state=row("SST", _socket_state),
        bucket=row("HBKT", int),
        local_port=row("LPORT", int),
        uid=row("UID", int),
        inode=row("INODE", int),
        local=list(map(_address, words[at:])),
        extra=row.extra(),
    )


def assocs(raw: bytes, _: Machine) -> list[Association]:
    """The associations."""
    titles = _titles(raw, "ASSOC SOCK STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT")
    return rows(raw, lambda line: _association(titles, line.split()), 1)


def _association(titles: list[str], words: list[bytes]) -> Association:
    at, behind = titles.index("LADDRS"), titles.index("RADDRS") + 1
    arrow = words.index(b"<->")
    # An address is the only word with a dot or a colon in it.
    end = next(
        (place for place in range(arrow + 1, len(words)) if not {46, 58} & set(words[place])),
        len(words),
    )
    row = Row([*titles[:at], *titles[behind:]], [*words[:at], *words[end:]])
    return Association(
        association=row("ASSOC", _words),
        socket=row("SOCK", _words),
        style=row("STY", _style),
        socket_state=row("SST", _socket_state),
        state=row("ST", lambda word: _STATES.get(decoded(word), decoded(word))),
        bucket=row("HBKT", int),
        id=row("ASSOC-ID", int),
        tx_queue=row("TX_QUEUE", int),
        rx_queue=row("RX_QUEUE", int),
        uid=row("UID", int),
        inode=row("INODE", int),
        local_port=row("LPORT", int),
        remote_port=row("RPORT", int),
        local=list(map(_address, words[at:arrow])),
        remote=list(map(_address, words[arrow + 1 : end])),
        **{name: row.may(title, int) for title, name in _LATER.items()},
        extra=row.extra(),
    )


_LATER = {
    "HBINT": "heartbeat",
    "INS": "in_streams",
    "OUTS": "out_streams",
    "MAXRT": "max_retransmissions",
    "T1X": "init_retries",
    "T2X": "shutdown_retries",
    "RTXC": "retransmissions",
    "wmema": "wmem_alloc",
    "wmemq": "wmem_queued",
    "sndbuf": "sndbuf",
    "rcvbuf": "rcvbuf",
}


def remaddr(raw: bytes, _: Machine) -> list[Remote]:
    """The addresses of the peers."""
    titles = _titles(raw, "ADDR ASSOC_ID HB_ACT RTO MAX_PATH_RTX REM_ADDR_RTX START")
    return rows(raw, lambda line: _remote(Row(titles, line.split())), 1)


def _remote(row: Row) -> Remote:
    return Remote(
        address=row("ADDR", _address),
        association=row("ASSOC_ID", int),
        heartbeat=row("HB_ACT", int) != 0,
        rto=row("RTO", int),
        max_retransmissions=row("MAX_PATH_RTX", int),
        retransmissions=row("REM_ADDR_RTX", int),
        start=row("START", int),
        state=row.may("STATE", lambda word: _TRANSPORTS.get(decoded(word), decoded(word))),
        extra=row.extra(),
    )


Counters = Annotated[dict[str, Count], gauges("^SctpCurrEstab$")]


def snmp(raw: bytes, _: Machine) -> dict[str, int | str]:
    """The counters under the kernel's names."""
    return counters(raw)


def _titles(raw: bytes, first: str) -> list[str]:
    """The names in the header, in which `<->` is none."""
    header = [*lines(raw)[:1], b""][0]
    titles = [name for name in decoded(header).split() if name != "<->"]
    if titles[: len(first.split())] != first.split():
        raise expected(f"the header {first} …", header)
    return titles
