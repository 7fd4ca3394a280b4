"""Raw files whose form depends on the kernel and the processor, kept as `tests/machines` has them.

A process with a descriptor of each kind (`sleeper.py`) and a thread of the kernel are shown, and the
machine. They are in the folder `machine` of the results, with `facts.json`. Files of rows that are
alike are kept to the first of them; `smaps` to some mappings.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import struct
import subprocess
from pathlib import Path

from tests.harness import ROOT
from tests.kernels.findings import Findings
from tests.kernels.guest import sleeper

RESULTS = Path("/run/results/machine")
PROCESS, KERNEL_THREAD = 1200, 2
_OF_A_PROCESS = (
    *("arch_status", "auxv", "comm", "io", "ksm_stat", "maps", "mountinfo", "numa_maps", "sched"),
    *("schedstat", "smaps", "smaps_rollup", "stat", "status", "syscall", "timers"),
)
_OF_A_KERNEL_THREAD = ("stat", "status")
_OF_THE_MACHINE = (
    *(
        "buddyinfo",
        "cgroups",
        "cpuinfo",
        "crypto",
        "diskstats",
        "interrupts",
        "iomem",
        "keys",
        "locks",
    ),
    *("meminfo", "modules", "pagetypeinfo", "schedstat", "slabinfo", "softirqs", "stat", "swaps"),
    *(
        "timer_list",
        "vmallocinfo",
        "vmstat",
        "zoneinfo",
        "pressure/cpu",
        "net/netstat",
    ),
    *("net/protocols", "net/snmp6", "net/snmp", "net/softnet_stat", "net/tcp", "net/unix"),
)
# AT_EXECFN and AT_PLATFORM.
_POINTERS_TO_TEXT = {31, 15}
_LONGEST_TEXT = 100
# How many lines are kept of a file whose lines are alike.
_LINES = {
    "slabinfo": 30,
    "modules": 12,
    "iomem": 40,
    "net/unix": 12,
    "vmallocinfo": 12,
    "crypto": 60,
    "maps": 40,
}
_ALGORITHMS = 6
_MAPPINGS = ("python", "[heap]", "/dev/zero", "[stack]", "[vdso]")


def examined(findings: Findings) -> None:
    """Keep all files that there are; a remark for each that is not there."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    Path("/proc/sys/kernel/sched_schedstats").write_text("1", encoding="ascii")
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(PROCESS - 1), encoding="ascii")
    command = ["/usr/bin/python3", "-I", "-S", sleeper.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/", env={}) as process:
        assert process.stdout is not None
        try:
            if process.pid != PROCESS or process.stdout.readline() != b"ready\n":
                findings.fail(f"process {process.pid} is not ready")
            for path in _paths():
                _kept(findings, path)
            _texts_of_auxv()
        finally:
            process.kill()
    (RESULTS / "facts.json").write_text(json.dumps(_facts()) + "\n", encoding="utf-8")


def _paths() -> list[str]:
    numbers = range(sleeper.FIRST_NUMBER, sleeper.FIRST_NUMBER + len(sleeper.KINDS))
    return [
        *(f"{PROCESS}/{name}" for name in _OF_A_PROCESS),
        *(f"{PROCESS}/fdinfo/{number}" for number in numbers),
        *(f"{KERNEL_THREAD}/{name}" for name in _OF_A_KERNEL_THREAD),
        *_OF_THE_MACHINE,
    ]


def _kept(findings: Findings, path: str) -> None:
    try:
        content = Path("/proc", path).read_bytes()
        if "/fdinfo/" in path and os.readlink(f"/proc/{path}".replace("info", "")) == "/dev/null":
            raise FileNotFoundError(2, "no such kind")
    except OSError as wrong:
        findings.remarks.append(f"{path}: {wrong.strerror}")
        return
    findings.count += 1
    place = RESULTS / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(_short(path, content).replace(f"{ROOT.parent}/".encode(), b"/srv/"))


def _short(path: str, content: bytes) -> bytes:
    """A part of a long file: whole lines, from its start."""
    name = path.removeprefix(f"{PROCESS}/")
    if name == "smaps":
        mappings = re.split(rb"^(?=[0-9a-f]+-[0-9a-f]+ )", content, flags=re.MULTILINE)
        wanted = [next((one for one in mappings if key.encode() in one), b"") for key in _MAPPINGS]
        return b"".join(one for one in mappings if one in wanted)
    if name == "crypto":
        return b"\n\n".join(content.split(b"\n\n")[:_ALGORITHMS]) + b"\n\n"
    return b"".join(content.splitlines(keepends=True)[: _LINES.get(name)])


def _texts_of_auxv() -> None:
    """Keep the texts to which `auxv` points, each with the NUL at its end."""
    values = struct.iter_unpack("@LL", Path(f"/proc/{PROCESS}/auxv").read_bytes())
    places = [value for kind, value in values if kind in _POINTERS_TO_TEXT]
    folder = RESULTS / f"{PROCESS}/mem"
    folder.mkdir()
    with Path(f"/proc/{PROCESS}/mem").open("rb", buffering=0) as memory:
        for place in places:
            memory.seek(place)
            text, nul, _ = memory.read(_LONGEST_TEXT).partition(b"\0")
            (folder / f"{place:x}").write_bytes(text + nul)


def _facts() -> dict[str, object]:
    """What `tests.fixtures` asks of a machine."""
    names = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    counters = Path("/proc/stat").read_text(encoding="ascii")
    boot_time = re.findall(r"^btime ([0-9]+)$", counters, re.MULTILINE)[0]
    return {
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "ticks": os.sysconf("SC_CLK_TCK"),
        "boot_time": int(boot_time),
        "users": {"0": "root"},
        "groups": {"0": "root"},
        "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in names},
        "architecture": platform.machine(),
        "release": platform.release(),
    }
