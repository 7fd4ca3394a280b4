"""A socket in one line: which row of /proc/net has the inode of a descriptor's link `socket:[inode]`.

The tables are those of one network namespace; a socket of another one, or of a family without a table, is in none of them. A
name in net/unix can forge a row there, so the tables that nobody can forge come first, and an ambiguous row tells nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from procmirror.view import Machine, Reading, Record, View, doc
from procmirror.views import net
from procmirror.views.net import inet
from procmirror.views.net.netlink import Netlink
from procmirror.views.net.packet import Packet
from procmirror.views.net.raw import Raw
from procmirror.views.net.unix import Unix, state

_ORDER = ["tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "netlink", "packet", "unix"]
_BY_NAME = {view.entry: view for view in net.VIEWS}


class Summary(Record, frozen=True):
    """What a socket is and to whom it talks."""

    protocol: Annotated[str, doc("The table it stands in: `tcp`, `udp6`, `unix`, `netlink`, …")]
    type: Annotated[str | None, doc("`stream`, `dgram`, …, or the protocol of a raw, netlink or packet socket")]
    state: Annotated[str | None, doc("State, by the word of ss(8)")]
    local: Annotated[str | None, doc("Own address as ss(8) writes it; name of a Unix socket; port of a netlink socket")]
    peer: Annotated[str | None, doc("Address of the peer; null without one, and for families that do not tell")]
    ambiguous: Annotated[bool, doc("Another row claims the same inode, so that nothing more is told")]


def summary(name: str, row: Any) -> Summary:
    """The summary of a row of the table `name`."""
    match row:
        case Unix(ambiguous=True):
            return Summary(name, None, None, None, None, ambiguous=True)
        case Unix():
            return Summary(name, row.type, state(row), row.path, None, ambiguous=False)
        case Netlink():
            return Summary(name, row.eth, None, str(row.pid), None, ambiguous=False)
        case Packet():
            return Summary(name, row.proto, None, None if row.iface is None else f"if{row.iface}", None, ambiguous=False)
    kind = row.protocol if isinstance(row, Raw) else None
    local = inet.shown(row.local_address, row.local_port)
    peer = inet.shown(row.rem_address, row.rem_port)
    away = peer if row.rem_port or row.rem_address.strip(".:0") else None
    return Summary(name, kind, inet.ss_state(row.st), local, away, ambiguous=False)


class Sockets:
    """The sockets below a `net` directory; a table is read when the ones before it do not have what is sought."""

    def __init__(self, reading: Reading, machine: Machine, directory: str) -> None:
        self._reading, self._machine, self._directory = reading, machine, directory
        self._left = list(reversed(_ORDER))
        self._found: dict[int, tuple[str, Any]] = {}

    def find(self, inode: int) -> Summary | None:
        """The socket with this inode; None if no readable table has it."""
        while inode not in self._found and self._left:
            name = self._left.pop()
            for row in self._rows(_BY_NAME[name]):
                if row.inode:
                    self._found.setdefault(row.inode, (name, row))
        return summary(*self._found[inode]) if inode in self._found else None

    def _rows(self, view: View) -> list[Any]:
        assert view.decode is not None
        try:
            raw = self._reading.read(f"{self._directory}/{view.entry}")
        except OSError:
            return []
        rows: list[Any] = view.decode(raw, self._machine)
        return rows
