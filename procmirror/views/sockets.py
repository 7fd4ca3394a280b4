"""The sockets of the requester's network namespace: net/* joined with PID/fd.

Source: ss(8), `ss -anp`.

A process is named only where the requester may list its descriptors, and only if it is in the
requester's network namespace or that cannot be told. net/unix can be forged (see there): of its
rows those whose inode occurs twice, or belongs to a socket of another kind, have no process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

from msgspec import field

from procmirror.decoding.proc_files import socket_inode
from procmirror.decoding.reasons import SURPRISES, why
from procmirror.decoding.table import Rows
from procmirror.decoding.view import Incomplete, Machine, Reading, Record, doc
from procmirror.views.net import inet, netlink, packet, raw, tcp, udp, unix

# The address of the peer of a socket that has none, in IPv4 and IPv6.
_ANY = frozenset(("0.0.0.0", "::"))  # noqa: S104 - compared, not bound


class Process(Record, frozen=True):
    """A process that holds a socket."""

    pid: Annotated[int, doc("Its pid")]
    comm: Annotated[str | None, doc("Its name; null if it is gone")]
    fds: Annotated[list[int], doc("Its descriptors of the socket")]


class Socket(Record, frozen=True):
    """One socket, with what all kinds have in common.

    Null for what a kind does not have or the kernel does not tell.
    """

    netid: Annotated[
        str, doc("File of net/ that has the socket: `tcp6`, `unix`, …; more about it is there")
    ]
    type: Annotated[str | None, doc("`stream`, `dgram`, `raw`, …")] = None
    protocol: Annotated[
        str | None, doc("Of raw sockets the IP protocol, of netlink its own, of packet the ETH_P_*")
    ] = None
    state: Annotated[str | None, doc("State by the kernel's name; `LISTEN` of unix too")] = None
    local: Annotated[
        str | None, doc("Own address with the port as ss(8) writes it; path or abstract name")
    ] = None
    local_address: Annotated[str | None, doc("Own address without the port")] = None
    local_port: Annotated[int | None, doc("Own port")] = None
    peer: Annotated[str | None, doc("Address of the peer with its port")] = None
    peer_address: Annotated[str | None, doc("Address of the peer without its port")] = None
    peer_port: Annotated[int | None, doc("Port of the peer")] = None
    rx_queue: Annotated[int | None, doc("Received and not read", "bytes")] = None
    tx_queue: Annotated[int | None, doc("Sent and not acknowledged", "bytes")] = None
    accept_queue: Annotated[int | None, doc("Connections that wait for accept(2)")] = None
    uid: Annotated[int | None, doc("Owner")] = None
    user: Annotated[str | None, doc("Name of the owner")] = None
    inode: Annotated[int | None, doc("Inode; 0 when no process holds it")] = None
    ambiguous: Annotated[
        bool, doc("Whether the row may be forged, so that no process is named")
    ] = False
    processes: Annotated[
        tuple[Process, ...], doc("Who holds it, as far as the requester may see")
    ] = ()
    incomplete: Annotated[
        list[Incomplete],
        doc("Why a file, or a line of it, could not be read or decoded; the rest is null then"),
    ] = field(default_factory=list)


def join(reading: Reading, machine: Machine) -> Iterator[Socket]:
    """The sockets file by file, unix last. FileNotFoundError where none of the files is there."""
    held = _held(reading, machine)
    comms: dict[int, str | None] = {}
    genuine: set[int] = set()
    for name, found, incomplete in _tables(reading, machine):
        if incomplete:
            yield Socket(name, incomplete=incomplete)
        for fields in found:
            inode = fields["inode"]
            if name != "unix":
                genuine.add(inode)
            elif inode in genuine and inode:
                fields["ambiguous"] = True
            holders = {} if fields.get("ambiguous") else held.get(inode, {})
            for pid in holders:
                if pid not in comms:
                    comms[pid] = _comm(reading, pid)
            yield Socket(
                name,
                **fields,
                processes=tuple(Process(pid, comms[pid], fds) for pid, fds in holders.items()),
            )


def _tables(
    reading: Reading, machine: Machine
) -> Iterator[tuple[str, Iterable[dict[str, Any]], list[Incomplete]]]:
    """Each file of net/ that is there, with its rows and what of it is missing."""
    absent: list[FileNotFoundError] = []
    for name in SOURCES:
        try:
            rows, incomplete = _rows(name, f"self/net/{name}", reading, machine)
        except FileNotFoundError as missing:
            absent.append(missing)
        else:
            yield name, rows, incomplete
    if len(absent) == len(SOURCES):
        raise absent[0]


def rows_of(
    name: str, path: str, reading: Reading, machine: Machine
) -> tuple[Iterable[dict[str, Any]], list[Incomplete]]:
    """The fields of the sockets of a file of net/, and what of it is missing.

    Nothing of a file that this kernel does not have.
    """
    try:
        return _rows(name, path, reading, machine)
    except FileNotFoundError:
        return [], []


def _rows(
    name: str, path: str, reading: Reading, machine: Machine
) -> tuple[Iterable[dict[str, Any]], list[Incomplete]]:
    decode, fields = SOURCES[name]
    try:
        found = decode(reading.read(path), machine)
    except FileNotFoundError:
        raise
    except (OSError, *SURPRISES) as failure:
        return [], [Incomplete(f"net/{name}", why(failure))]
    bad = found.undecoded if isinstance(found, Rows) else []
    incomplete = [
        Incomplete(f"net/{name} {part.part}", f"{part.reason}: {one.line}")
        for one in bad
        for part in one.incomplete
    ]
    return map(fields, found), incomplete


def _held(reading: Reading, machine: Machine) -> dict[int, dict[int, list[int]]]:
    """By inode of a socket: the processes that hold it, with their descriptors."""
    held: dict[int, dict[int, list[int]]] = defaultdict(dict)
    for name in reading.names("."):
        if name.isdigit() and not _elsewhere(reading, name, machine):
            for inode, fd in _descriptors(reading, name):
                held[inode].setdefault(int(name), []).append(fd)
    return held


def _elsewhere(reading: Reading, pid: str, machine: Machine) -> bool:
    own = machine.namespaces.get("net")
    try:
        return own is not None and reading.link(f"{pid}/ns/net") != own
    except OSError:
        return False


def _descriptors(reading: Reading, pid: str) -> Iterator[tuple[int, int]]:
    try:
        names = reading.names(f"{pid}/fd")
    except OSError:
        return
    for fd in names:
        try:
            inode = socket_inode(reading.link(f"{pid}/fd/{fd}"))
        except OSError:
            continue
        if inode is not None:
            yield inode, int(fd)


def _comm(reading: Reading, pid: int) -> str | None:
    try:
        return reading.read(f"{pid}/comm").decode("utf-8", "backslashreplace").removesuffix("\n")
    except OSError:
        return None


def _inet(one: inet.Socket, kind: str, protocol: str | None = None) -> dict[str, Any]:
    return {
        "type": kind,
        "protocol": protocol,
        "state": one.st,
        "local": inet.shown(one.local_address, protocol or one.local_port),
        "local_address": one.local_address,
        "local_port": one.local_port,
        # A raw socket has no port of the peer, connected or not.
        "peer_address": one.rem_address if one.rem_port or one.rem_address not in _ANY else None,
        "peer": inet.shown(one.rem_address, one.rem_port),
        "peer_port": one.rem_port or None,
        "rx_queue": one.rx_queue,
        "tx_queue": one.tx_queue,
        "uid": one.uid,
        "user": one.user,
        "inode": one.inode,
    }


def _tcp(one: tcp.Tcp) -> dict[str, Any]:
    return _inet(one, "stream") | {"accept_queue": one.accept_queue}


def _udp(one: udp.Datagram) -> dict[str, Any]:
    return _inet(one, "dgram")


def _raw(one: raw.Raw) -> dict[str, Any]:
    return _inet(one, "raw", one.protocol)


def _netlink(one: netlink.Netlink) -> dict[str, Any]:
    return {
        "type": "raw",
        "protocol": one.eth,
        "local": f"{one.eth}:{one.pid or 'kernel'}",
        "rx_queue": one.rmem,
        "tx_queue": one.wmem,
        "inode": one.inode,
    }


def _packet(one: packet.Packet) -> dict[str, Any]:
    return {
        "type": one.type,
        "protocol": one.proto,
        "local": f"{packet.short(one)}:{one.iface or '*'}",
        "rx_queue": one.rmem,
        "uid": one.uid,
        "user": one.user,
        "inode": one.inode,
    }


def _unix(one: unix.Unix) -> dict[str, Any]:
    return {
        "type": one.type,
        "state": "LISTEN" if "SO_ACCEPTCON" in one.flags else one.st,
        "local": unix.name(one) or None,
        "inode": one.inode or 0,
        "ambiguous": one.ambiguous,
    }


# In an order that leaves the table with forgeable rows to the end: how each file is decoded, and
# the fields of a row.
SOURCES: dict[
    str, tuple[Callable[[bytes, Machine], list[Any]], Callable[[Any], dict[str, Any]]]
] = {
    **dict.fromkeys(("tcp", "tcp6"), (tcp.decode, _tcp)),
    **dict.fromkeys(("udp", "udp6", "udplite", "udplite6"), (udp.decode, _udp)),
    **dict.fromkeys(("raw", "raw6"), (raw.decode, _raw)),
    **dict.fromkeys(("icmp", "icmp6"), (udp.decode, _udp)),
    "netlink": (netlink.decode, _netlink),
    "packet": (packet.decode, _packet),
    "unix": (unix.decode, _unix),
}
