"""Sockets that the test itself holds, as ss(8) (which asks by netlink), psutil, the socket API and ip(8) see them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jc
import psutil
import pytest

from procmirror.kernel.netlink import NETLINK_PROTOCOLS
from procmirror.kernel.sockets import PROTOCOL_METHODS
from procmirror.views import VIEWS
from procmirror.views.net import inet, unix
from procmirror.views.sockets import Socket
from tests.fixtures import MACHINES, Folder
from tests.harness import comes_true, steady, until
from tests.live import machine, of

pytestmark = pytest.mark.root

TIMERS = {
    "on": "retransmit",
    "keepalive": "keepalive",
    "persist": "persist",
    "timewait": "timewait",
}
TIMES = {"ms": 0.001, "sec": 1, "min": 60}
LOCAL: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Held:
    """The sockets that live as long as the tests of this module, by what they are."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.sockets: dict[str, socket.socket] = {}

    def add(self, name: str, one: socket.socket) -> socket.socket:
        self.sockets[name] = self.stack.enter_context(one)
        return one

    def new(self, name: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
        return self.add(name, socket.socket(family, kind, protocol))

    def inode(self, name: str) -> int:
        return os.fstat(self.sockets[name].fileno()).st_ino

    @property
    def inodes(self) -> set[int]:
        return {self.inode(name) for name in self.sockets}


def connected(held: Held, family: int) -> None:
    listener = held.new(f"listener {family}", family, socket.SOCK_STREAM)
    listener.bind((LOCAL[family], 0))
    listener.listen(7)
    client = held.new(f"client {family}", family, socket.SOCK_STREAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    held.add(f"server {family}", server)
    client.send(b"x" * 123)
    held.new(f"waiting {family}", family, socket.SOCK_STREAM).connect(listener.getsockname())


def datagrams(held: Held, family: int) -> None:
    for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_UDPLITE):
        bound = held.new(f"bound {family} {protocol}", family, socket.SOCK_DGRAM, protocol)
        bound.bind((LOCAL[family], 0))
        held.new(f"peer {family} {protocol}", family, socket.SOCK_DGRAM, protocol).connect(
            bound.getsockname()
        )
    held.new(f"raw {family}", family, socket.SOCK_RAW, 89).bind((LOCAL[family], 0))


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    with ExitStack() as stack:
        made = Held(stack)
        for family in LOCAL:
            connected(made, family)
            datagrams(made, family)
        mapped = made.new("mapped", socket.AF_INET6, socket.SOCK_DGRAM)
        mapped.bind(("::ffff:127.0.0.1", 0))
        path = str(tmp_path_factory.mktemp("unix") / "here")
        made.new("stream", socket.AF_UNIX, socket.SOCK_STREAM).bind(path)
        made.sockets["stream"].listen(3)
        made.new("client", socket.AF_UNIX, socket.SOCK_STREAM).connect(path)
        made.new("abstract", socket.AF_UNIX, socket.SOCK_SEQPACKET).bind(
            f"\0two\0words{os.getpid()}"
        )
        made.new("newline", socket.AF_UNIX, socket.SOCK_DGRAM).bind(f"\0line\nbreak{os.getpid()}")
        for at, one in enumerate(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)):
            made.add(f"pair {at}", one)
        made.new("netlink", socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0x5))
        made.new("packet", socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x88CC))
        yield made


def ss(arguments: str) -> Iterator[list[str]]:
    """The words of each row."""
    done = subprocess.run(
        ["ss", "-anHO", *arguments.split()], capture_output=True, text=True, check=True
    )
    return (line.split() for line in done.stdout.splitlines())


def by_inode(arguments: str, held: Held) -> dict[int, list[str]]:
    found = {}
    for words in ss(f"-e {arguments}"):
        inode = next((int(word[4:]) for word in words if re.fullmatch(r"ino:\d+", word)), 0)
        if inode in held.inodes:
            found[inode] = words
    return found


def rows(name: str, held: Held) -> dict[int, Any]:
    """Of two readings: the kernel may leave a socket out of one while others come and go."""
    return {
        one.inode: one
        for _ in range(2)
        for one in of(f"net/{name}", "/proc/self/net")
        if one.inode in held.inodes
    }


def told(address: str) -> str:
    """An address of ss, which writes `*` where a socket takes both IPv4 and IPv6."""
    return f"[::]{address[1:]}" if address.startswith("*:") else address


SS_STATES = {
    "ESTABLISHED": "ESTAB",
    "CLOSE": "UNCONN",
    "CONNECTED": "ESTAB",
    "UNCONNECTED": "UNCONN",
    "FIN_WAIT1": "FIN-WAIT-1",
    "FIN_WAIT2": "FIN-WAIT-2",
}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("tcp", "-t -4"), ("tcp6", "-t -6"), ("udp", "-u -4"), ("udp6", "-u -6")],
)
def test_addresses_states_and_queues_are_those_of_ss(held: Held, name: str, arguments: str) -> None:
    ours = rows(name, held)
    theirs = by_inode(arguments, held)
    assert len(ours) >= 2 and ours.keys() == theirs.keys()
    for inode, (state, received, sent, local, peer, *_) in theirs.items():
        one = ours[inode]
        assert SS_STATES.get(one.st, one.st.replace("_", "-")) == state
        assert inet.shown(one.local_address, one.local_port) == told(local)
        assert inet.shown(one.rem_address, one.rem_port) == told(peer)
        if state == "LISTEN":
            assert (one.rx_queue, one.accept_queue) == (None, int(received))
        else:
            assert (one.rx_queue, one.tx_queue) == (int(received), int(sent))
        assert one.user == "root"


# Its own end of a connection, which it closed first, waits for its time to pass.
CLOSED_FIRST = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
port = client.getsockname()[1]
server, _ = listener.accept()
client.close(), server.close()
print(port)"""


def test_whose_connection_it_was_is_not_told_of_one_that_waits_for_its_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_FIRST],
        capture_output=True,
        text=True,
        check=True,
        user=12345,
        cwd="/",
    )
    port = int(done.stdout)
    (words,) = ss(f"-t -e sport = {port}")
    assert words[0] == "TIME-WAIT" and not any(word.startswith("uid:") for word in words)
    (raw,) = (
        line.split()
        for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()
        if f":{port:04X} " in line[:20]
    )
    assert raw[7] == "0"  # the kernel's word for everybody
    (row,) = until(
        lambda: [one for one in of("net/tcp", "/proc/self/net") if one.local_port == port]
    )
    (joined,) = until(lambda: [one for one in of("sockets", "/proc") if one.local_port == port])
    assert (row.st, row.uid, row.user) == ("TIME_WAIT", None, None)
    assert (joined.uid, joined.user) == (None, None)
    assert inet.cells(row)[5] == "-"


def test_timers_are_those_of_ss(held: Held) -> None:
    ours = rows("tcp", held) | rows("tcp6", held)
    timers = {}
    for inode, words in by_inode("-t -o", held).items():
        match = re.search(
            r"timer:\((\w+),(?:(\d+)min)?(?:(\d+)(?:\.\d+)?sec)?(?:(\d+)ms)?,", " ".join(words)
        )
        if match:
            timers[inode] = (TIMERS[match[1]], int(match[2] or 0) * 60 + int(match[3] or 0))
    assert {held.inode(f"client {family}") for family in LOCAL} <= timers.keys()
    for inode, (name, seconds) in timers.items():
        assert ours[inode].tr == name and abs(ours[inode].tm_when - seconds) < 61


def test_congestion_is_that_of_ss(held: Held) -> None:
    ours = rows("tcp", held)[held.inode("client 2")]
    words = subprocess.run(
        ["ss", "-tinHO", "sport", f"= {held.sockets['client 2'].getsockname()[1]}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    theirs = dict(word.split(":", 1) for word in words if ":" in word)
    assert ours.snd_cwnd == int(theirs["cwnd"])
    assert abs(ours.rto - float(theirs["rto"]) / 1000) < 0.1


def test_raw_sockets_have_the_protocol_for_the_port(held: Held) -> None:
    for family, name in ((socket.AF_INET, "raw"), (socket.AF_INET6, "raw6")):
        one = rows(name, held)[held.inode(f"raw {family}")]
        assert (one.local_port, one.protocol) == (None, "ospf")
        assert inet.shown(one.local_address, 89) in {
            words[3] for words in ss(f"-w -{name[3:] or 4}")
        }


def test_udplite_has_the_addresses_that_the_socket_api_gives(held: Held) -> None:
    for family, name in ((socket.AF_INET, "udplite"), (socket.AF_INET6, "udplite6")):
        ours = rows(name, held)
        for which in ("bound", "peer"):
            mine = held.sockets[f"{which} {family} {socket.IPPROTO_UDPLITE}"]
            one = ours[os.fstat(mine.fileno()).st_ino]
            assert (one.local_address, one.local_port) == mine.getsockname()[:2]


def test_unix_sockets_are_those_of_ss(held: Held) -> None:
    ours = rows("unix", held)
    names = {"stream": "u_str", "dgram": "u_dgr", "seqpacket": "u_seq"}
    found = (words for words in ss("-x") if len(words) > 7 and words[5].isdigit())
    theirs = {int(words[5]): words for words in found if int(words[5]) in held.inodes}
    assert len(theirs) >= 5
    for inode, (kind, state, _, _, path, *_) in theirs.items():
        one = ours[inode]
        assert (
            names[one.type],
            SS_STATES.get(unix.state(one), unix.state(one)),
            one.path or "*",
        ) == (kind, state, path)
    newline = ours[held.inode("newline")]
    assert (newline.path, newline.unparsed) == ("@line", [f"break{os.getpid()}"])
    assert not any(one.ambiguous for one in ours.values())


def test_netlink_and_packet_sockets_are_known_to_the_socket_api(held: Held) -> None:
    netlink = rows("netlink", held)[held.inode("netlink")]
    assert netlink.pid == held.sockets["netlink"].getsockname()[0]
    assert (netlink.eth, netlink.groups) == ("route", ["RTNLGRP_LINK", "RTNLGRP_NEIGH"])
    packet = rows("packet", held)[held.inode("packet")]
    assert (packet.type, packet.proto, packet.iface, packet.user) == (
        "dgram",
        "ETH_P_LLDP",
        None,
        "root",
    )


def mine(found: Iterator[Socket]) -> dict[int, Socket]:
    """The sockets of this process by descriptor."""
    return {
        fd: one
        for one in found
        for process in one.processes
        if process.pid == os.getpid()
        for fd in process.fds
    }


def test_processes_are_those_of_psutil(held: Held) -> None:
    wanted = {one.fileno() for one in held.sockets.values()}
    ours: dict[int, Socket] = {}

    def all_listed() -> bool:
        ours.clear()
        ours.update(mine(of("sockets", "/proc")))
        return wanted <= ours.keys()

    assert comes_true(all_listed), wanted - ours.keys()
    theirs = {one.fd: one for one in psutil.Process().net_connections(kind="inet")}
    for fd, one in theirs.items():
        assert ours[fd].local == inet.shown(*one.laddr)
        assert ours[fd].peer_port == getattr(one.raddr, "port", None)
        assert one.status in {psutil.CONN_NONE, ours[fd].state}
    files = {ours[one.fileno()].netid for one in held.sockets.values()}
    assert files >= {"tcp", "tcp6", "udp", "raw", "unix", "netlink", "packet"}


def test_processes_are_those_of_ss(held: Held) -> None:
    listener = held.sockets["listener 2"]
    own = held.inode("listener 2")
    (row,) = until(lambda: [words for words in ss("-tlp -e") if f"ino:{own}" in words])
    words = " ".join(row)
    pids = set(re.findall(r"pid=(\d+),fd=(\d+)", words))
    (one,) = until(lambda: [one for one in of("sockets", "/proc") if one.inode == own])
    assert {(str(process.pid), str(fd)) for process in one.processes for fd in process.fds} == pids
    assert listener.getsockname()[1] == one.local_port
    assert one.processes[0].comm == Path("/proc/self/comm").read_text(encoding="utf-8").strip()


def test_multicast_groups_are_those_of_ip() -> None:
    found = json.loads(
        subprocess.run(["ip", "-j", "maddr"], capture_output=True, check=True).stdout
    )
    theirs = {
        (link["ifname"], one.get("link") or one["address"])
        for link in found
        for one in link["maddr"]
    }
    ours = {
        (link.device, group.group)
        for link in of("net/igmp", "/proc/self/net")
        for group in link.groups
    }
    ours |= {(one.device, one.group) for one in of("net/igmp6", "/proc/self/net")}
    ours |= {(one.device, one.address) for one in of("net/dev_mcast", "/proc/self/net")}
    assert ours == theirs
    for one in of("net/igmp6", "/proc/self/net"):
        assert (
            int(Path(f"/sys/class/net/{one.device}/ifindex").read_text(encoding="utf-8")) == one.idx
        )


def test_sockstat_counts_what_ss_counts(held: Held) -> None:
    assert held.inodes

    def theirs() -> tuple[int, int]:
        summary = subprocess.run(["ss", "-s"], capture_output=True, text=True, check=True).stdout
        match = re.search(r"^RAW\s+(\d+)\s+(\d+)\s+(\d+)", summary, re.MULTILINE)
        assert match
        return int(match[2]), int(match[3])

    def ours() -> tuple[Any, Any]:
        return tuple(of(f"net/sockstat{family}", "/proc/self/net") for family in ("", "6"))

    told, (four, six) = steady(theirs, ours)
    assert (four["RAW"].inuse, six["RAW6"].inuse) == told
    assert four["TCP"].mem % machine().page_size == 0


def captured(name: str) -> tuple[list[Any], Any]:
    """Our rows of a captured file, and those of jc."""
    raw = (MACHINES / "bookworm" / "net" / name).read_bytes()
    view = next(view for view in VIEWS if view.name == f"net/{name}")
    parser = f"proc_net_{name.removesuffix('6')}"
    return view.record_of(Folder(MACHINES, {name: raw}), machine()), jc.parse(
        parser, raw.decode(errors="replace")
    )


@pytest.mark.parametrize("name", ["tcp", "tcp6"])
def test_captured_connections_are_those_of_jc(name: str) -> None:
    ours, theirs = captured(name)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert (ip_address(one.local_address), one.local_port) == (
            ip_address(other["local_address"]),
            other["local_port"],
        )
        assert (ip_address(one.rem_address), one.rem_port) == (
            ip_address(other["remote_address"]),
            other["remote_port"],
        )
        assert (one.inode, one.uid, one.ref) == (
            other["inode"],
            None if one.tr == "timewait" else other["uid"],
            other["sock_ref_count"],
        )
        assert one.tx_queue == int(other["tx_queue"], 16)
        assert (one.accept_queue if one.rx_queue is None else one.rx_queue) == int(
            other["rx_queue"], 16
        )
        assert one.rto == (
            other["retransmit_timeout"] / 100 if "retransmit_timeout" in other else None
        )


def test_captured_protocols_and_netlink_sockets_are_those_of_jc() -> None:
    for one, other in zip(*captured("protocols"), strict=True):
        assert (one.protocol, one.size, one.sockets, one.slab, one.module) == tuple(
            other[key] for key in ("protocol", "size", "sockets", "slab", "module")
        )
        assert one.memory == (None if other["memory"] == -1 else other["memory"] * 4096)
        assert one.methods == [name for key, name in PROTOCOL_METHODS.items() if other.get(key)]
    for one, other in zip(*captured("netlink"), strict=True):
        assert (one.pid, one.rmem, one.drops, one.inode) == tuple(
            other[key] for key in ("Pid", "Rmem", "Drops", "Inode")
        )
        assert NETLINK_PROTOCOLS[other["Eth"]] == one.eth


def test_the_lines_of_a_name_are_no_sockets_though_jc_counts_them() -> None:
    ours, theirs = captured("unix")
    lines = sum(len(one.unparsed or ()) for one in ours)
    assert (lines, len(theirs)) == (3, len(ours) + lines)
