"""A socket in a few words, by its inode number: `tcp LISTEN 127.0.0.1:8080`.

Source: the tables of PID/net, see proc_pid_net(5).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property

from procmirror.decoding.byte_order import byte_order
from procmirror.decoding.reasons import SURPRISES
from procmirror.decoding.shapes import inet_address
from procmirror.decoding.text import decoded, printable
from procmirror.decoding.view import Reading
from procmirror.kernel.netlink import NETLINK_PROTOCOLS
from procmirror.kernel.sockets import TCP_STATES, TYPES

# Not 0: what only waits for its time to pass belongs to no process.
_INODE = re.compile(rb"[1-9][0-9]{0,19}")
_SYN_SENT, _LISTEN = b"02", b"0A"  # include/net/tcp_states.h

_TCP = ("tcp", "tcp6")
# How an IPv4 address begins in the table of IPv6 (RFC 4291): 16 bits of ones after 80 of zeros, in
# words that are printed as numbers of the machine.
_MAPPED = {"little": b"0000000000000000FFFF0000", "big": b"00000000000000000000FFFF"}

# The addresses of a socket that listens at all of IPv4, and of IPv6, in the order of the kernel.
_EVERY = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _address(endpoint: bytes) -> str:
    digits, _, port = endpoint.partition(b":")
    host = inet_address(digits)
    return f"{f'[{host}]' if ':' in host else host}:{int(port, 16) or '*'}"


def _host(endpoint: bytes) -> str:
    """The address of an endpoint; of an IPv4 one in the table of IPv6 the IPv4 address."""
    return inet_address(endpoint.partition(b":")[0]).removeprefix("::ffff:")


def _end(endpoint: bytes) -> bytes:
    """One end of a connection, the same in both tables: a socket of IPv6 may have one of IPv4."""
    return endpoint.removeprefix(_MAPPED[byte_order()])


def _inet(words: list[bytes], table: str) -> str:
    state = TCP_STATES.get(int(words[3], 16), decoded(words[3]))
    if not table.startswith("tcp") and state == "CLOSE":
        state = "UNCONNECTED"
    peer = "" if set(words[2]) <= set(b"0:") else f" -> {_address(words[2])}"
    return f"{table} {state} {_address(words[1])}{peer}"


def _unix(words: list[bytes], _: str) -> str:
    kind = TYPES.get(int(words[4], 16), decoded(words[4]))
    listens = " LISTEN" if int(words[3], 16) & 0x10000 else ""
    name = f" {printable(decoded(words[7]))}" if len(words) > 7 else ""
    return f"unix {kind}{listens}{name} inode {decoded(words[6])}"


def _netlink(words: list[bytes], _: str) -> str:
    protocol = NETLINK_PROTOCOLS.get(int(words[1]), decoded(words[1]))
    return f"netlink {protocol} port {decoded(words[2])}"


def _packet(words: list[bytes], _: str) -> str:
    return f"packet protocol 0x{decoded(words[3])} interface {decoded(words[4])}"


# Table, the column of the inode, the row in words. net/unix comes last: a name in it may hold a
# newline and so forge a row.
_TABLES: tuple[tuple[str, int, Callable[[list[bytes], str], str]], ...] = (
    *((table, 9, _inet) for table in ("tcp", "tcp6", "udp", "udp6")),
    ("netlink", 9, _netlink),
    ("packet", 8, _packet),
    *((table, 9, _inet) for table in ("raw", "raw6", "icmp", "icmp6", "udplite", "udplite6")),
    ("unix", 6, _unix),
)


class Sockets:
    """The sockets of the network namespace of a process.

    Each table is read once, when it is first needed.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._tables: dict[str, dict[bytes, list[bytes] | None]] = {}

    def described(self, inode: int) -> str | None:
        """The socket with this inode; None if no table shows it to the requester."""
        wanted = b"%d" % inode
        for table, column, shown in _TABLES:
            if row := self._table(table, column).get(wanted):
                with suppress(*SURPRISES):
                    return shown(row, table)
        return None

    def other_end(self, inode: int) -> int | None:
        """The inode of the other end of a TCP connection of this machine with itself."""
        wanted = b"%d" % inode
        for table in _TCP:
            if own := self._table(table, 9).get(wanted):
                return self._connected.get((_end(own[2]), _end(own[1])))
        return None

    @cached_property
    def _connected(self) -> dict[tuple[bytes, bytes], int]:
        """The TCP sockets that processes hold, by their own end and that of the peer."""
        return {
            (_end(row[1]), _end(row[2])): int(row[9])
            for table in _TCP
            for row in self._table(table, 9).values()
            if row and _INODE.fullmatch(row[9])
        }

    def listener(self, inode: int) -> int | None:
        """The inode of the one socket that listens where a new TCP connection leads.

        None if that is not certainly this machine, if none listens there, or several do
        (SO_REUSEPORT).
        """
        wanted = b"%d" % inode
        for table in _TCP:
            own = self._table(table, 9).get(wanted)
            if own and own[3] == _SYN_SENT:
                with suppress(*SURPRISES):
                    return self._listening_at(_host(own[2]), _host(own[1]), own[2][-4:])
        return None

    def _listening_at(self, host: str, source: str, port: bytes) -> int | None:
        # The kernel gives a connection to an address of this machine the same one as its source.
        if host not in {source, "::1"} and not host.startswith("127."):
            return None
        for place in (host, *(_EVERY if "." in host else _EVERY[1:])):
            if found := self._listening.get((place, port)):
                return found[0] if len(found) == 1 else None
        return None

    @cached_property
    def _listening(self) -> dict[tuple[str, bytes], list[int]]:
        """The listening TCP sockets by address and port."""
        found: dict[tuple[str, bytes], list[int]] = defaultdict(list)
        for table in _TCP:
            for row in self._table(table, 9).values():
                with suppress(*SURPRISES):
                    if row and row[3] == _LISTEN:
                        found[_host(row[1]), row[1][-4:]].append(int(row[9]))
        return found

    def _table(self, table: str, column: int) -> dict[bytes, list[bytes] | None]:
        if table not in self._tables:
            found = self._tables[table] = {}
            with suppress(OSError):
                for line in self._reading.lines(f"net/{table}"):
                    words = line.split(None, 7 if table == "unix" else -1)
                    if len(words) > column:
                        inode = words[column]
                        # Two rows have this number: one is a forgery, and it is unknown which.
                        found[inode] = None if inode in found else words
        return self._tables[table]
