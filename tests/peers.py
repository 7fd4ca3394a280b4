"""What other libraries offer for each view; `python -m tests.peers` writes the table in docs/API.md.

psutil is asked by the tests whether it has these names. Those of prometheus/procfs (Go) and procfs
(Rust) were looked up in their sources in November 2026: in the packages of Debian 12 (0.8 and
0.14), and in the repositories what is newer. "-" where none was found.
"""

from __future__ import annotations

import re
from pathlib import Path

from procmirror.views import VIEWS
from tests.harness import ROOT

PAGE = ROOT / "docs/API.md"
_BEGIN, _END = "<!-- peers -->\n", "<!-- end of peers -->\n"
# View: psutil, prometheus/procfs, procfs of Rust.
PEERS: dict[str, tuple[str, str, str]] = {
    "PID/wchan": ("-", "Proc.Wchan", "Process::wchan"),
    "PID/statm": ("Process.memory_info", "Proc.Statm", "Process::statm"),
    "PID/fdinfo/N": ("-", "Proc.FDInfo", "-"),
    "PID/syscall": ("-", "-", "process::Syscall"),
    "PID/cgroup": ("-", "Proc.Cgroups", "Process::cgroups"),
    "PID/cmdline": ("Process.cmdline", "Proc.CmdLine", "Process::cmdline"),
    "PID/comm": ("Process.name", "Proc.Comm", "-"),
    "PID/autogroup": ("-", "-", "Process::autogroup"),
    "PID/auxv": ("-", "-", "Process::auxv"),
    "PID/coredump_filter": ("-", "-", "Process::coredump_filter"),
    "PID/environ": ("Process.environ", "Proc.Environ", "Process::environ"),
    "PID/fd": ("Process.open_files", "Proc.FileDescriptorsInfo", "Process::fd"),
    "PID/io": ("Process.io_counters", "Proc.IO", "Process::io"),
    "PID/limits": ("Process.rlimit", "Proc.Limits", "Process::limits"),
    "PID/loginuid": ("-", "-", "Process::loginuid"),
    "PID/maps": ("Process.memory_maps", "Proc.ProcMaps", "Process::maps"),
    "PID/mountinfo": ("-", "GetProcMounts", "Process::mountinfo"),
    "PID/mountstats": ("-", "Proc.MountStats", "Process::mountstats"),
    "PID/ns": ("-", "Proc.Namespaces", "Process::namespaces"),
    "PID/oom_score": ("-", "-", "Process::oom_score"),
    "PID/pagemap": ("-", "-", "Process::pagemap"),
    "PID/process": ("Process.as_dict", "-", "-"),
    "PID/schedstat": ("-", "Proc.Schedstat", "Process::schedstat"),
    "PID/smaps": ("Process.memory_maps", "-", "Process::smaps"),
    "PID/smaps_rollup": (
        "Process.memory_full_info",
        "Proc.ProcSMapsRollup",
        "Process::smaps_rollup",
    ),
    "PID/stack": ("-", "-", "-"),
    "PID/stat": ("Process.cpu_times", "Proc.Stat", "Process::stat"),
    "PID/status": ("Process.uids", "Proc.NewStatus", "Process::status"),
    "PID/task": ("Process.threads", "FS.AllThreads", "Process::tasks"),
    "buddyinfo": ("-", "FS.BuddyInfo", "buddyinfo"),
    "cgroups": ("-", "FS.CgroupSummarys", "cgroups"),
    "fs/fscache/stats": ("-", "FS.Fscacheinfo", "-"),
    "kallsyms": ("-", "-", "KAllSyms"),
    "mdstat": ("-", "FS.MDStat", "MdStat"),
    "net/dev_snmp6": ("-", "FS.NetDevSNMP6", "-"),
    "net/netfilter/nfnetlink_queue": ("-", "FS.NFNetLinkQueue", "-"),
    "net/netstat": ("-", "Proc.Netstat", "Netstat"),
    "sys": ("-", "FS.VM", "sys"),
    "cmdline": ("-", "FS.CmdLine", "cmdline"),
    "config.gz": ("-", "-", "kernel_config"),
    "cpuinfo": ("cpu_count", "FS.CPUInfo", "CpuInfo"),
    "crypto": ("-", "FS.Crypto", "crypto"),
    "devices": ("-", "-", "Devices"),
    "diskstats": ("disk_io_counters", "blockdevice.FS.ProcDiskstats", "diskstats"),
    "PID/files": ("Process.open_files", "-", "-"),
    "files": ("-", "-", "-"),
    "fs/xfs/stat": ("-", "xfs.FS.ProcStat", "-"),
    "iomem": ("-", "-", "iomem"),
    "key-users": ("-", "-", "keyring::key_users"),
    "keys": ("-", "-", "keyring::keys"),
    "loadavg": ("getloadavg", "FS.LoadAvg", "LoadAverage"),
    "locks": ("-", "-", "locks"),
    "meminfo": ("virtual_memory", "FS.Meminfo", "Meminfo"),
    "modules": ("-", "-", "modules"),
    "mounts": ("disk_partitions", "GetMounts", "mounts"),
    "net/arp": ("-", "FS.GatherARPEntries", "net::arp"),
    "net/dev": ("net_io_counters", "FS.NetDev", "net::dev_status"),
    "net/ip_vs": ("-", "FS.IPVSBackendStatus", "-"),
    "net/ip_vs_stats": ("-", "FS.IPVSStats", "-"),
    "net/protocols": ("-", "FS.NetProtocols", "-"),
    "net/route": ("-", "FS.NetRoute", "net::route"),
    "net/rpc/nfs": ("-", "nfs.FS.ClientRPCStats", "-"),
    "net/rpc/nfsd": ("-", "nfs.FS.ServerRPCStats", "-"),
    "net/snmp": ("-", "Proc.Snmp", "net::snmp"),
    "net/snmp6": ("-", "Proc.Snmp6", "net::snmp6"),
    "net/sockstat": ("-", "FS.NetSockstat", "-"),
    "net/softnet_stat": ("-", "FS.NetSoftnetStat", "-"),
    "net/stat": ("-", "FS.ConntrackStat", "-"),
    "net/tcp": ("net_connections", "FS.NetTCP", "net::tcp"),
    "net/tcp6": ("net_connections", "FS.NetTCP6", "net::tcp6"),
    "net/tls_stat": ("-", "FS.NewTLSStat", "-"),
    "net/udp": ("net_connections", "FS.NetUDP", "net::udp"),
    "net/udp6": ("net_connections", "FS.NetUDP6", "net::udp6"),
    "net/unix": ("net_connections", "FS.NetUNIX", "net::unix"),
    "net/wireless": ("-", "FS.Wireless", "-"),
    "net/xfrm_stat": ("-", "FS.NewXfrmStat", "-"),
    "PID/tree": ("Process.children", "-", "-"),
    "partitions": ("-", "-", "partitions"),
    "pressure/cpu": ("-", "FS.PSIStatsForResource", "CpuPressure"),
    "pressure/io": ("-", "FS.PSIStatsForResource", "IoPressure"),
    "pressure/memory": ("-", "FS.PSIStatsForResource", "MemoryPressure"),
    "processes": ("process_iter", "FS.AllProcs", "process::all_processes"),
    "schedstat": ("-", "FS.Schedstat", "-"),
    "slabinfo": ("-", "FS.SlabInfo", "-"),
    "sockets": ("net_connections", "-", "-"),
    "softirqs": ("-", "FS.Softirqs", "-"),
    "stat": ("cpu_stats", "FS.Stat", "KernelStats"),
    "swaps": ("swap_memory", "FS.Swaps", "-"),
    "sysvipc/shm": ("-", "-", "Shm"),
    "tree": ("Process.children", "-", "-"),
    "uptime": ("boot_time", "-", "Uptime"),
    "vmstat": ("-", "-", "vmstat"),
    "waits": ("-", "-", "-"),
    "zoneinfo": ("-", "FS.Zoneinfo", "-"),
}


def table() -> str:
    """The table, one row a view; the views that nobody else has are counted below it."""
    rows = ["| View | psutil | prometheus/procfs | Rust procfs |", "|---|---|---|---|"]
    alone = []
    for view in VIEWS:
        peers = PEERS.get(view.name, ("-", "-", "-"))
        if set(peers) == {"-"}:
            alone.append(view.name)
            continue
        cells = [f"`{name}`" if name != "-" else "-" for name in (view.name, *peers)]
        rows.append(f"| {' | '.join(cells)} |")
    names = ", ".join(f"`{name}`" for name in sorted(alone))
    return "\n".join(rows) + f"\n\nNothing was found there for {len(alone)} views: {names}.\n"


def renewed(page: str) -> str:
    """The page with the table as it is now."""
    pattern = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    return pattern.sub(lambda _: f"{_BEGIN}\n{table()}\n{_END}", page)


if __name__ == "__main__":
    Path(PAGE).write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
