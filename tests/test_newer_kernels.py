"""A newer kernel shows more.

Every view carries through what its file may gain, by the table of how each file grows.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from procmirror.decoding.view import View
from procmirror.views import VIEWS
from tests.fixtures import FIXTURES, JSON

DECODED = [view for view in VIEWS if view.decode is not None]


@dataclass(frozen=True)
class Growth:
    """One way in which a file grows, and what of it must be found in the JSON."""

    grown: Callable[[bytes], bytes]
    found: str = "424242"


def line(text: bytes, found: str = "424242") -> Growth:
    """A further line at the end."""
    return Growth(lambda raw: raw + b"\n" * (raw[-1:] not in {b"", b"\n"}) + text + b"\n", found)


def within(pattern: bytes, replacement: bytes, found: str = "424242") -> Growth:
    """What matches first is replaced."""
    return Growth(lambda raw: re.sub(pattern, replacement, raw, count=1, flags=re.MULTILINE), found)


def column(
    *heading: bytes, rows: bytes = rb"\S", word: bytes = b"424242", found: str = "424242"
) -> Growth:
    """A further column in the lines that `rows` matches, below as many lines of a header as there are ends of it."""

    def grown(raw: bytes) -> bytes:
        lines = raw.split(b"\n")
        header = [one.rstrip() + end for one, end in zip(lines, heading, strict=False)]
        body = [
            one.rstrip() + b" " + word if re.search(rows, one) else one
            for one in lines[len(heading) :]
        ]
        return b"\n".join(header + body) if any(map(bytes.strip, body)) else raw

    return Growth(grown, found)


def each(names: str, *growths: Growth) -> dict[str, tuple[Growth, ...]]:
    return dict.fromkeys(names.split(), growths)


NOVEL_KEY = line(b"Novelty: 424242", "Novelty")
# How the file of each view grows. Where a file is one value that can gain nothing, the reason
# stands in its place.
TABLE: dict[str, tuple[Growth, ...] | str] = {
    "PID/arch_status": (NOVEL_KEY,),
    "PID/cgroup": (line(b"99:novelty424242:/"),),
    "PID/cmdline": (Growth(lambda raw: raw + b"--novelty=424242\0"),),
    "PID/environ": (Growth(lambda raw: raw + b"\0NOVEL=424242\0"),),
    "PID/fdinfo/N": (NOVEL_KEY,),
    "PID/io": (NOVEL_KEY,),
    "PID/ksm_stat": (line(b"novelty 424242"), line(b"novelty: 424242")),
    "PID/latency": (line(b"424242 5 5 novelty"),),
    "PID/maps": (line(b"7fff00000000-7fff00001000 r--p 00000000 00:00 0 [novelty424242]"),),
    "PID/mountinfo": (within(rb" - ", b" novelty:424242 - "), within(rb"$", b",novelty=424242")),
    **each("PID/mounts mounts", within(rb" 0 0$", b",novelty=424242 0 0")),
    "PID/mountstats": (line(b"device 424242 mounted on /novelty with fstype novel"),),
    "PID/numa_maps": (column(word=b"novelty=424242"),),
    **each(
        "PID/coredump_filter PID/personality",
        Growth(lambda raw: raw and b"4%07x" % (int(raw, 16) % 2**28), "0x40000000"),
    ),
    "PID/sched": (
        line(b"novelty                                      :               424242"),
        line(b"numa_novelty group=424242"),
    ),
    "PID/schedstat": (column(),),
    "PID/seccomp_cache": (line(b"novelty 424242 FILTER"),),
    "PID/smaps_rollup": (line(b"Novelty:          424242 kB", "Novelty"),),
    "PID/stat": (column(rows=rb"\) [A-Z] (\S+ ){49}"),),
    "PID/statm": (column(),),
    "PID/status": (NOVEL_KEY, within(rb"^CapEff:\t0000", b"CapEff:\t8000", hex(1 << 63))),
    "PID/task/TID/children": (Growth(lambda raw: raw + b"424242 "),),
    "PID/timens_offsets": (line(b"novelty       424242         0"),),
    "PID/timers": (line(b"ID: 424242\nsignal: 14/0\nnotify: signal/pid.1\nClockID: 0"),),
    **dict.fromkeys(
        ("PID/autogroup", "PID/ksm_merging_pages", "PID/patch_state", "PID/timerslack_ns"),
        "one value",
    ),
    **dict.fromkeys(("PID/comm", "PID/cpuset", "PID/setgroups", "PID/wchan"), "one text"),
    **dict.fromkeys(
        ("PID/loginuid", "PID/oom_adj", "PID/oom_score", "PID/oom_score_adj", "PID/sessionid"),
        "one number",
    ),
    **dict.fromkeys(
        ("PID/gid_map", "PID/projid_map", "PID/uid_map"),
        "what is written to it has three columns too",
    ),
    "bus/input/devices": (within(rb"^U: Uniq=.*$", rb"\g<0>\nX: Novelty=424242"),),
    "bus/input/handlers": (within(rb" Minor=64", b" Minor=64 Novelty=424242"),),
    "bus/pci/devices": (within(rb"(\t[a-z][\w-]+)$", rb"\1\t424242"),),
    "config.gz": (
        Growth(lambda raw: gzip.compress(gzip.decompress(raw) + b"CONFIG_NOVELTY=424242\n")),
    ),
    "driver/rtc": (line(b"novelty\t: 424242"),),
    "fs/nfsd/exports": (within(rb"\(rw,", b"(novelty424242,rw,"),),
    **each("fs/nfsd/filecache fs/nfsd/reply_cache_stats", line(b"novelty: 424242")),
    **dict.fromkeys(
        (
            f"fs/nfsd/{name}"
            for name in ("max_block_size", "nfsv4gracetime", "nfsv4leasetime", "threads")
        ),
        "one number",
    ),
    "fs/nfsd/pool_stats": (column(b" novelty"),),
    "fs/nfsd/pool_threads": (within(rb"$", b" 424242"),),
    "fs/nfsd/portlist": (line(b"novelty 424242"),),
    "fs/nfsd/versions": (within(rb"$", b" +424242"),),
    "fs/xfs/stat": (line(b"novelty 424242"),),
    "drbd": (Growth(lambda raw: raw.replace(b" oos:", b" novelty:424242 oos:")),),
    "fs/cifs/Stats": (line(b"Novelty: 424242"),),
    "fs/fscache/stats": (line(b"Novelty: n=424242"),),
    "fs/netfs/stats": (line(b"Novelty: n=424242"),),
    "net/ip_vs_conn": (column(b" novel"),),
    "net/sctp/assocs": (column(b" novel"),),
    "net/sctp/eps": "the addresses come last, so that a further word is an address",
    "net/sctp/remaddr": (column(b" novel"),),
    "net/sctp/snmp": (line(b"Novelty 424242"),),
    "scsi/scsi": "three lines of columns of a fixed width; a further line is another device",
    "key-users": (column(),),
    "keys": (within(rb"^(\w+ \S{7}) ", rb"\1Z ", '"Z"'),),
    "mdstat": (within(rb"blocks ", b"blocks novelty424242 "),),
    "mtrr": (within(rb"write-back", b"novelty424242"),),
    "pagetypeinfo": (within(rb"^(Node.*type +)Unmovable(.*)$", rb"\g<0>\n\1Novelty424242\2"),),
    **each(
        "pressure/cpu pressure/io pressure/irq pressure/memory",
        line(b"novel avg10=0.00 avg60=0.00 avg300=0.00 total=424242"),
        within(rb"(total=\d+)$", rb"\1 novelty=424242"),
    ),
    "schedstat": (column(rows=rb"^cpu"),),
    "slabinfo": (within(rb"(: slabdata +\d.*)$", rb"\1 : noveltydata 424242"),),
    "swaps": (column(b"\tNovelty"),),
    "timer_list": (within(rb"^  \.offset: .*$", rb"\g<0>\n  .novelty: 424242"),),
    **each("sysvipc/msg sysvipc/sem sysvipc/shm", column(b" novelty")),
    "tty/driver/serial": (within(rb" rx:", b" novelty:424242 rx:"),),
    "tty/drivers": (within(rb"system:console$", b"system:novelty424242"),),
    "tty/ldiscs": (line(b"n_novelty  424242"),),
    "version_signature": (within(rb"$", b" 424242"),),
    "vmallocinfo": (within(rb" vmap$", b" vmap novelty=424242"),),
    "zoneinfo": (within(rb"^ +nr_\w+ +\d+$", rb"\g<0>\n      nr_novelty 424242"),),
    "allocinfo": (within(rb"(func:\w+)$", rb"\1 novelty:424242"),),
    **each(
        " ".join(view.name for view in VIEWS if view.name.startswith("spl/kstat/zfs/")),
        line(b"novelty                         4    424242"),
    ),
    "buddyinfo": (column(),),
    "cgroups": (column(b"\tnovelty"),),
    "cmdline": (within(rb"$", b" novelty=424242"),),
    "consoles": (within(rb"\(E", b"(Z", '"Z"'),),
    "cpuinfo": (NOVEL_KEY,),
    "crypto": (within(rb"^module .*$", rb"\g<0>\nnovelty      : 424242"),),
    "devices": (line(b"42 novelty424242"),),
    "diskstats": (column(rows=rb"(\S+\s+){19}"),),
    "dma": (within(rb"^ 4: .*$", rb"\g<0>\n 5: novelty424242"),),
    "execdomains": (line(b"6-6\tnovelty424242\t[kernel]"),),
    "fb": (line(b"9 novelty424242"),),
    "filesystems": (line(b"nodev\tnovelty424242"),),
    "interrupts": (line(b"NOV: 424242 0   Novelty"),),
    **each("iomem ioports", line(b"ff000000-ff000fff : novelty424242")),
    "loadavg": (column(),),
    "meminfo": (line(b"Novelty: 424242 kB", "Novelty"),),
    "misc": (line(b"42 novelty424242"),),
    "modules": (within(rb"\(POE\)", b"(POEZ)", '"Z"'),),
    "partitions": (column(b" novelty", b""),),
    "softirqs": (line(b"NOVELTY: 424242 0"),),
    "stat": (line(b"novelty 424242"), within(rb"^cpu .*$", rb"\g<0> 424242")),
    "uptime": (column(),),
    "version": (within(rb"$", b" 424242"),),
    "vmstat": (line(b"nr_novelty 424242"),),
    **each(
        "net/anycast6 net/dev_mcast net/if_inet6 net/psched net/rt6_stats",
        column(),
    ),
    # Behind the two that 5.10 does not have yet.
    "net/softnet_stat": (column(word=b"00000000 00000000 424242"),),
    "net/arp": (column(b" Novelty"), within(rb" 0x2 ", b" 0x1000002 ", "0x1000000")),
    "net/connector": (line(b"novelty424242  9:9"),),
    "net/dev": (column(b"", b" novelty"),),
    "net/fib_trie": (within(rb"host LOCAL$", b"host LOCAL novelty=424242"),),
    "net/fib_triestat": (line(b"Novelty: 424242"),),
    **each(
        "net/icmp net/icmp6 net/raw net/raw6 net/udp net/udp6 net/udplite net/udplite6",
        column(b" novelty"),
    ),
    "net/igmp": (within(rb"0:00000000\t\t0$", b"0:00000000\t\t0 424242"),),
    "net/igmp6": (column(),),
    **each("net/ip_mr_cache net/ip_mr_vif net/ip6_mr_cache net/ip6_mr_vif", column(b" Novelty")),
    "net/nfsfs/servers": "the name of the server ends the line",
    "net/nfsfs/volumes": (column(b" Novelty"),),
    "net/nf_conntrack_expect": (within(rb" dport=", b" novelty=424242 dport="),),
    "net/ip_vs": (column(rows=rb"^  -> .* (Masq|Route|Tunnel) "),),
    "net/ip_vs_stats": (column(),),
    "net/ip6_flowlabel": (column(b" Novelty"),),
    **each("net/mcfilter net/mcfilter6 net/netlink net/packet", column(b" Novelty")),
    "net/ipv6_route": (column(), within(rb" 00000001( +\w+)$", rb" 00000401\1", "0x400")),
    "net/netfilter/nf_log": (line(b"42 NONE (novelty424242)"),),
    **each("net/netfilter/nfnetlink_log net/netfilter/nfnetlink_queue", column()),
    "net/netstat": (
        line(b"NovelExt: Seen\nNovelExt: 424242"),
        within(rb"^(TcpExt: \w.*)\n(.*)$", rb"\1 Novelty\n\2 424242"),
    ),
    "net/protocols": (column(b" novelty", word=b"y", found="novelty"),),
    "net/ptype": (line(b"4242 eth0     novelty424242"),),
    "net/route": (column(b" Novelty"), within(rb"\t0003\t", b"\t1003\t", "0x1000")),
    "net/rt_cache": (column(b" Novelty"),),
    **each("net/rpc/nfs net/rpc/nfsd", line(b"novelty 424242")),
    "net/rt_acct": "an array of structures without a name or a length in it",
    "net/snmp": (
        line(b"Novel: Seen\nNovel: 424242"),
        within(rb"^(Tcp: \w.*)\n(.*)$", rb"\1 Novelty\n\2 424242"),
    ),
    **each("net/snmp6 net/tls_stat net/xfrm_stat", line(b"Novelty\t424242")),
    **each(
        "net/sockstat net/sockstat6",
        line(b"NOVEL: inuse 424242"),
        within(rb"$", b" novelty 424242"),
    ),
    **each("net/tcp net/tcp6", column(b" novelty", rows=rb"(\S+\s+){16}")),
    "net/unix": "the path ends the line",
    "net/wireless": (column(b"", b""),),
}


GROWTHS = [
    (view, growth)
    for view in DECODED
    for growth in TABLE.get(view.name, ())
    if isinstance(growth, Growth)
]


@pytest.mark.parametrize("view", DECODED, ids=lambda view: view.name)
def test_every_view_of_one_file_has_a_row(view: View) -> None:
    assert TABLE.get(view.name), "say here how its file may grow"


@pytest.mark.parametrize(
    ("view", "growth"), GROWTHS, ids=lambda one: one.name if isinstance(one, View) else ""
)
def test_what_a_newer_kernel_adds_is_carried_through(view: View, growth: Growth) -> None:
    tried = 0
    for fixture in (fixture for fixture in FIXTURES if fixture.row == view.name):
        raw = fixture.raw.read_bytes()
        more = growth.grown(raw)
        if more == raw:  # no row that could have grown
            continue
        tried += 1
        before, after = (
            fixture.content().decode(),
            fixture.content({fixture.view.entry: more}).decode(),
        )
        if fixture.suffix in JSON:  # which need only not fail
            assert growth.found not in before
            assert growth.found in after, f"{fixture}: {more[:200]!r}"
    assert tried


def test_the_table_has_no_row_of_a_view_that_is_gone() -> None:
    assert set(TABLE) <= {view.name for view in DECODED}
