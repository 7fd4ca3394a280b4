"""Interfaces, routes, neighbours and counters as ip(8), nstat(8) and psutil see them, in a namespace of the test's own."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jc
import msgspec
import psutil
import pytest

from tests.live import of

SETUP = """
ip link set lo up
ip link add a0 type veth peer name b0
ip link set a0 addrgenmode none
ip link set b0 addrgenmode none
ip link set a0 up
ip link set b0 up
ip addr add 192.0.2.2/24 dev a0
ip addr add 10.8.0.1/16 dev b0
ip addr add 2001:db8::2/64 dev a0 nodad
ip addr add 2001:db8:1::2/128 dev b0 nodad preferred_lft 0
ip addr add fe80::2/64 dev a0 nodad
ip route add default via 192.0.2.1 metric 100
ip route add 203.0.113.0/24 via 192.0.2.1 window 65535 advmss 1360
ip route add 203.0.113.77 via 192.0.2.9
ip route add unreachable 198.19.1.0/24 metric 5
ip route add blackhole 198.18.0.0/15
ip route add 203.0.113.0/25 tos 0x10 via 192.0.2.8
ip rule add from 10.8.0.0/16 table 100
ip route add default via 192.0.2.9 table 100
ip route add 10.9.0.0/16 dev b0 scope link table 100
ip -6 route add default via 2001:db8::1
ip -6 route add 2001:db8:ffff::/48 via fe80::1 dev a0 pref high
ip -6 route add unreachable 2001:db8:dead::/48
ip neigh add 192.0.2.9 lladdr 02:00:5e:00:53:09 dev a0 nud permanent
ip neigh add 192.0.2.8 lladdr 02:00:5e:00:53:08 dev a0 nud stale
"""
TRAFFIC = 'python3 -c \'import socket; s = socket.socket(2, 2); [s.sendto(b"x" * n, ("127.0.0.1", 9)) for n in range(50)]\''


class Namespace:
    """A network namespace that lives as long as its first process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def run(self, command: str) -> str:
        enter = ["nsenter", "-t", str(self.pid), "-U", "-n", "--preserve-credentials"]
        done = subprocess.run(
            [*enter, "sh", "-ec", command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, command: str) -> Any:
        return json.loads(self.run(command))

    def of(self, name: str) -> Any:
        return of(f"net/{name}", Path(f"/proc/{self.pid}/net"))


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = "echo made; exec sleep 600"
    with subprocess.Popen(
        ["unshare", "-rn", "sh", "-c", made], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "made\n"
        found = Namespace(process.pid)
        found.run(SETUP)
        yield found
        process.kill()


def network(destination: str, whole: int) -> str:
    """A destination of ip(8) with its length: `default` and host routes have none there."""
    if destination == "default":
        return "0.0.0.0/0" if whole == 32 else "::/0"
    return destination if "/" in destination else f"{destination}/{whole}"


def test_routes_are_those_of_ip_route(namespace: Namespace) -> None:
    ours = [
        (f"{one.destination}/{one.prefix_length}", one.gateway, one.iface, one.metric)
        for one in namespace.of("route")
    ]
    theirs = [
        (network(one["dst"], 32), one.get("gateway"), one.get("dev"), one.get("metric", 0))
        for one in namespace.json("ip -j route")
    ]
    assert Counter(ours) == Counter(theirs)
    assert len(ours) >= 8
    limited = next(one for one in namespace.of("route") if one.window)
    assert (limited.window, limited.mtu) == (65535, 1360 + 40)
    rejected = [one.destination for one in namespace.of("route") if "RTF_REJECT" in one.flags]
    assert rejected == ["198.19.1.0"]


def test_ipv6_routes_are_those_of_ip_route(namespace: Namespace) -> None:
    ours = Counter(
        (
            f"{one.destination}/{one.prefix_length}",
            one.gateway,
            one.device,
            one.metric,
            one.preference,
        )
        for one in namespace.of("ipv6_route")
        if one.metric != 2**32 - 1  # the entry for "no route"
    )
    theirs = Counter(
        (network(one["dst"], 128), one.get("gateway"), one["dev"], one["metric"], one["pref"])
        for one in namespace.json("ip -j -6 route show table all")
    )
    assert ours == theirs
    assert len(ours) >= 9


def test_the_trie_holds_the_routes_of_all_tables(namespace: Namespace) -> None:
    scopes = {"universe": "global"}
    ours = Counter(
        (one.table, one.prefix, one.type.lower(), scopes.get(one.scope, one.scope), one.tos)
        for one in namespace.of("fib_trie")
    )
    theirs = Counter(
        (
            one["table"],
            network(one["dst"], 32),
            one["type"],
            one["scope"],
            int(one["tos"], 16) if "tos" in one else None,
        )
        for one in namespace.json("ip -j -d -4 route show table all")
    )
    assert ours == theirs
    assert {table for table, *_ in ours} == {"main", "local", "100"}
    assert sum(one.prefixes for one in namespace.of("fib_triestat").tables) == ours.total()


def test_neighbours_are_those_of_ip_neigh(namespace: Namespace) -> None:
    ours = {
        (one.ip_address, one.device, one.hw_address): "ATF_PERM" in one.flags
        for one in namespace.of("arp")
    }
    theirs = {
        (one["dst"], one["dev"], one["lladdr"]): "PERMANENT" in one["state"]
        for one in namespace.json("ip -j -4 neigh")
    }
    assert ours == theirs
    assert {one.hw_type for one in namespace.of("arp")} == {"ether"}
    assert len(ours) == 2


def test_ipv6_addresses_are_those_of_ip_addr(namespace: Namespace) -> None:
    words = {
        "IFA_F_DEPRECATED": "deprecated",
        "IFA_F_TENTATIVE": "tentative",
        "IFA_F_NODAD": "nodad",
    }
    ours = {
        (
            one.device,
            one.ifindex,
            one.address,
            one.prefix_length,
            one.scope,
            *sorted(words.get(flag, "") for flag in one.flags),
        )
        for one in namespace.of("if_inet6")
    }
    theirs = {
        (link["ifname"], link["ifindex"], one["local"], one["prefixlen"], one["scope"], "", *flags)
        for link in namespace.json("ip -j -6 addr")
        for one in link["addr_info"]
        for flags in [sorted(word for word in words.values() if one.get(word))]
    }
    assert ours == theirs
    assert len(ours) == 4


def between(before: dict[str, int], ours: dict[str, int], after: dict[str, int]) -> None:
    """Counters only grow: ours, read between two readings of theirs, lies between them."""
    assert before
    wrong = {
        name: (least, ours[name], after[name])
        for name, least in before.items()
        if not least <= ours[name] <= after[name]
    }
    assert not wrong


def test_interfaces_counted_what_ip_link_says(namespace: Namespace) -> None:
    namespace.run(TRAFFIC)
    words = {
        "errors": "errs",
        "dropped": "drop",
        "bytes": "bytes",
        "packets": "packets",
        "collisions": "colls",
    }

    def theirs() -> dict[str, int]:
        return {
            f"{link['ifname']} {way} {words[name]}": count
            for link in namespace.json("ip -s -j link")
            for way, counters in link["stats64"].items()
            for name, count in counters.items()
            if name in words
        }

    before, interfaces, after = theirs(), namespace.of("dev"), theirs()
    ways = [
        (one.interface, way, counters)
        for one in interfaces
        for way, counters in (("rx", one.receive), ("tx", one.transmit))
    ]
    ours = {
        f"{name} {way} {field}": getattr(found, field)
        for name, way, found in ways
        for field in found.__struct_fields__
    }
    between(before, ours, after)
    assert ours["lo rx packets"] >= 50
    assert {one.interface for one in namespace.of("dev_snmp6")} <= {
        one.interface for one in interfaces
    }


def test_counters_are_those_of_nstat(namespace: Namespace) -> None:
    namespace.run(TRAFFIC)

    def theirs() -> dict[str, int]:
        counted: dict[str, int] = namespace.json("nstat -asz -j")["kernel"]
        return counted

    before, snmp, snmp6, netstat, after = (
        theirs(),
        *(namespace.of(name) for name in ("snmp", "snmp6", "netstat")),
        theirs(),
    )
    groups = {**msgspec.to_builtins(snmp), **msgspec.to_builtins(netstat)}
    ours = {
        f"{group}{name}": count
        for group, counters in groups.items()
        for name, count in (counters or {}).items()
    } | snmp6
    between(before, ours, after)
    assert ours["UdpOutDatagrams"] >= 50


def test_psutil_sees_the_same_interfaces() -> None:
    def theirs() -> dict[str, int]:
        return {
            f"{name} {field}": count
            for name, counters in psutil.net_io_counters(pernic=True, nowrap=False).items()
            for field, count in counters._asdict().items()
        }

    before, interfaces, after = theirs(), of("net/dev", "/proc/self/net"), theirs()
    ours = {
        f"{one.interface} {name}": count
        for one in interfaces
        for name, count in {
            "bytes_recv": one.receive.bytes,
            "bytes_sent": one.transmit.bytes,
            "packets_recv": one.receive.packets,
            "packets_sent": one.transmit.packets,
            "errin": one.receive.errs,
            "errout": one.transmit.errs,
            "dropin": one.receive.drop,
            "dropout": one.transmit.drop,
        }.items()
    }
    between(before, ours, after)
    addresses = {(one.device, one.address) for one in of("net/if_inet6", "/proc/self/net")}
    assert addresses == {
        (name, one.address.partition("%")[0])
        for name, found in psutil.net_if_addrs().items()
        for one in found
        if one.family == socket.AF_INET6
    }


@pytest.mark.parametrize("name", ["route", "ipv6_route", "arp"])
def test_jc_finds_as_many_rows(namespace: Namespace, name: str) -> None:
    raw = Path(f"/proc/{namespace.pid}/net/{name}").read_text(encoding="ascii")
    found = jc.parse(f"proc_net_{name}", raw)
    assert isinstance(found, list) and len(found) == len(namespace.of(name))
