"""The views of the whole machine against tools that read the same files.

Psutil, procps, util-linux, jc, the C library.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jc
import psutil
import pytest

from procmirror.decoding.view import Machine
from procmirror.views import VIEWS, locks_text
from tests.fixtures import MACHINES, Folder
from tests.live import of

BY_NAME = {view.name: view for view in VIEWS}
CAPTURED = MACHINES / "bookworm"


def live(name: str) -> Any:
    directory, _, _ = f"/proc/{name}".rpartition("/")
    return of(name, directory)


def captured(name: str) -> Any:
    return BY_NAME[name].of(Folder((CAPTURED / name).parent), Machine())


def output(*command: str) -> str:
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    ).stdout


def table(*command: str) -> list[dict[str, Any]]:
    """The rows of a tool of util-linux that prints JSON."""
    (rows,) = json.loads(output(*command)).values()
    return list(rows)


def parsed(name: str) -> list[dict[str, Any]]:
    """What jc makes of the captured file."""
    rows: Any = jc.parse(f"proc_{name}", (CAPTURED / name).read_text(encoding="utf-8"), quiet=True)
    return list(rows)


def test_meminfo_is_what_free_says() -> None:
    before, free, after = live("meminfo"), output("free", "-b", "-w").split("\n"), live("meminfo")
    memory = dict(zip(free[0].split(), map(int, free[1].split()[1:]), strict=True))
    swap = [int(word) for word in free[2].split()[1:]]
    assert (memory["total"], swap[0]) == (before.MemTotal, before.SwapTotal)
    assert memory["total"] == psutil.virtual_memory().total
    for name, ours in {
        "free": "MemFree",
        "available": "MemAvailable",
        "buffers": "Buffers",
        "shared": "Shmem",
    }.items():
        low, high = sorted((getattr(before, ours), getattr(after, ours)))
        assert low - (256 << 20) <= memory[name] <= high + (256 << 20)


def test_uptime_and_boot_time_are_the_clocks() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    uptime = live("uptime").uptime
    assert before - 0.02 <= uptime <= time.clock_gettime(time.CLOCK_BOOTTIME)
    told = datetime.fromisoformat(live("stat").btime).timestamp()
    assert told == psutil.boot_time()
    assert abs(told - (time.time() - uptime)) < 2


def test_loadavg_is_the_c_librarys() -> None:
    before, theirs, after = live("loadavg"), os.getloadavg(), live("loadavg")
    assert pytest.approx(theirs, abs=0.006) in [
        (one.load1, one.load5, one.load15) for one in (before, after)
    ]


def test_times_of_the_cpus_are_psutils() -> None:
    before, theirs, after = live("stat"), psutil.cpu_times(percpu=True), live("stat")
    assert len(before.cpus) == len(theirs) == psutil.cpu_count()
    for first, cpu, last in zip(before.cpus, theirs, after.cpus, strict=True):
        for mode in cpu._fields:
            assert getattr(first, mode) - 0.02 <= getattr(cpu, mode) <= getattr(last, mode) + 0.02
    counted = psutil.cpu_stats()
    assert before.ctxt <= counted.ctx_switches <= live("stat").ctxt
    assert before.intr <= counted.interrupts <= live("stat").intr


def test_cpuinfo_is_what_lscpu_says() -> None:
    facts = {row["field"].rstrip(":"): row["data"] for row in table("lscpu", "-J")}
    processors = live("cpuinfo")
    assert len(processors) == int(facts["CPU(s)"])
    assert {one.model_name for one in processors} == {facts["Model name"]}
    assert {one.vendor_id for one in processors} == {facts["Vendor ID"]}
    assert {(one.cpu_family, one.model, one.stepping) for one in processors} == {
        (int(facts["CPU family"]), int(facts["Model"]), int(facts["Stepping"]))
    }
    assert processors[0].flags == facts["Flags"].split()
    assert processors[0].address_sizes == facts["Address sizes"]
    assert len({(one.physical_id, one.core_id) for one in processors}) == psutil.cpu_count(
        logical=False
    )
    assert processors[0].cpu_mhz == pytest.approx(psutil.cpu_freq(percpu=True)[0].current, rel=0.5)


def test_version_is_uname() -> None:
    version = live("version")
    assert (version.sysname, version.release, version.version) == (
        os.uname().sysname,
        os.uname().release,
        os.uname().version,
    )


def test_diskstats_are_psutils() -> None:
    before, theirs, after = (
        live("diskstats"),
        psutil.disk_io_counters(perdisk=True, nowrap=False),
        live("diskstats"),
    )
    names = {
        "reads": "read_count",
        "bytes_read": "read_bytes",
        "writes": "write_count",
        "bytes_written": "write_bytes",
    }
    for first, last in zip(before, after, strict=True):
        other = theirs[first.name]
        for ours, name in names.items():
            assert getattr(first, ours) <= getattr(other, name) <= getattr(last, ours)
        assert first.io_time * 1000 <= other.busy_time <= last.io_time * 1000


def test_partitions_are_what_lsblk_says() -> None:
    sizes = {
        (row["name"], row["maj:min"]): row["size"]
        for row in table("lsblk", "-J", "-b", "-l", "-o", "NAME,MAJ:MIN,SIZE")
    }
    ours = {(one.name, one.device): one.size for one in live("partitions")}
    assert ours
    assert ours.items() <= sizes.items()


def test_interrupts_are_what_lsirq_says() -> None:
    before, rows, after = live("interrupts"), table("lsirq", "-J"), live("interrupts")
    totals = {
        one.interrupt: (one.total, last.total) for one, last in zip(before, after, strict=True)
    }
    assert rows
    for row in rows:
        low, high = totals[row["irq"]]
        assert low <= row["total"] <= high


def test_vmstat_is_what_psutil_says_of_swap() -> None:
    counters, swap = live("vmstat"), psutil.swap_memory()
    assert (swap.sin, swap.sout) == tuple(
        counters[name] * Machine().page_size for name in ("pswpin", "pswpout")
    )


def test_config_is_the_file() -> None:
    raw = gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    options = live("config.gz")
    assert BY_NAME["config.gz"].text is not None
    assert BY_NAME["config.gz"].text(options, Machine()) == raw
    assert len(options) == raw.count("\nCONFIG_") + raw.count(" is not set\n")


def flat(tree: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str | None]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{place}{name}/")
        else:
            row = value if isinstance(value, list) else [value]
            yield f"{place}{name}", None if value is None else spaced(" ".join(map(str, row)))


def spaced(words: str) -> str:
    """The words of a line; rows of numbers are arrays, without the blanks between them."""
    return " ".join(words.split())


def test_sys_is_what_sysctl_says() -> None:
    before, printed, after = (
        dict(flat(live("sys"))),
        # procps-ng 4.0.7 ends with 1 all the same where a file cannot be read.
        output("sh", "-c", "sysctl -a --ignore || true"),
        dict(flat(live("sys"))),
    )
    theirs: dict[str, str] = {}
    for line in printed.split("\n"):
        name, equals, value = line.partition(" = ")
        if equals:
            theirs.setdefault(name.translate(str.maketrans("./", "/.")), spaced(value))
    settable = {
        name for name in before.keys() & theirs if Path("/proc/sys", name).stat().st_mode & 0o200
    }
    steady = {
        name
        for name in settable
        if before[name] == after.get(name) and "\n" not in (before[name] or "\n")
    }
    steady.discard("kernel/ns_last_pid")
    assert len(steady) > 500
    assert {name: before[name] for name in steady} == {name: theirs[name] for name in steady}
    left_out = {"kernel/random/uuid", "vm/stat_refresh"}
    missing = {
        name
        for name in theirs.keys() - before.keys()
        if "/conf/" not in name and "/neigh/" not in name
    }
    assert {name for name in missing if not name.startswith("fs/binfmt_misc/")} <= left_out


HOLDER = """
import fcntl, struct, sys, time
lock = open(sys.argv[1], "r+")
write, start, length = sys.argv[2:]
print("asking", flush=True)
fcntl.lockf(lock, fcntl.LOCK_EX if write == "write" else fcntl.LOCK_SH, int(length), int(start))
print("holding", flush=True)
time.sleep(600)
"""


@pytest.fixture
def waited_for(tmp_path: Path) -> Iterator[tuple[Path, list[int]]]:
    """A file with a lock, two requests that wait for it, one behind the other, and one process with two other locks."""
    file = tmp_path / "a file"
    file.write_bytes(bytes(4096))
    started: list[subprocess.Popen[bytes]] = []
    for span in (("write", "0", "0"), ("write", "10", "20"), ("write", "15", "1")):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", HOLDER, str(file), *span], stdout=subprocess.PIPE
            )
        )
        stdout = started[-1].stdout
        assert stdout is not None
        assert stdout.readline() == b"asking\n"
        if len(started) == 1:
            assert stdout.readline() == b"holding\n"
        else:  # waits for the first
            while f"-> POSIX  ADVISORY  WRITE {started[-1].pid} " not in Path(
                "/proc/locks"
            ).read_text(encoding="utf-8"):
                time.sleep(0.01)
    yield file, [process.pid for process in started]
    for process in started:
        process.kill()
        process.communicate()


def test_a_lock_with_waiters_is_one_lock(waited_for: tuple[Path, list[int]]) -> None:
    file, (holder, second, third) = waited_for
    theirs = {
        row["pid"]: row
        for row in table("lslocks", "-J", "-o", "PID,TYPE,MODE,START,END,PATH,BLOCKER,COMMAND")
    }
    lock = next(one for one in live("locks") if one.pid == holder)
    assert (lock.kind, lock.mode, lock.type, lock.start, lock.end) == (
        "POSIX",
        "ADVISORY",
        "WRITE",
        0,
        None,
    )
    assert lock.path == theirs[holder]["path"] == str(file)
    assert lock.comm == theirs[holder]["command"]
    assert (lock.device, lock.inode) == (
        f"{os.major(file.stat().st_dev)}:{os.minor(file.stat().st_dev)}",
        file.stat().st_ino,
    )
    assert [(one.pid, one.start, one.end, one.depth) for one in lock.waiters] == [
        (second, 10, 29, 1),
        (third, 15, 15, 2),
    ]
    for waiter in lock.waiters:
        row = theirs[waiter.pid]
        assert (row["type"], row["mode"], row["start"], row["end"]) == (
            "POSIX",
            "WRITE*",
            waiter.start,
            waiter.end,
        )
        assert row["blocker"] == holder


def test_locks_of_open_files_and_of_flock_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "b"
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        fcntl.fcntl(
            lock, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 7, 3, 0)
        )
        inode = file.stat().st_ino
        mine = sorted(
            (one.kind, one.type, one.pid, one.start, one.end)
            for one in live("locks")
            if one.inode == inode
        )
        holders = {
            one.kind: [holder.pid for holder in one.holders]
            for one in live("locks")
            if one.inode == inode
        }
    assert mine == [("FLOCK", "READ", os.getpid(), 0, None), ("OFDLCK", "WRITE", None, 7, 9)]
    assert holders == {"FLOCK": [], "OFDLCK": [os.getpid()]}


@pytest.mark.parametrize("readers", [1, 2])
def test_a_lock_whose_taker_ended_has_the_holders_of_its_file(tmp_path: Path, readers: int) -> None:
    """As after flock(1) in a shell script, whose descriptor the script keeps."""
    file = tmp_path / "script.lock"
    with file.open("w") as lock:
        subprocess.run(["flock", str(lock.fileno())], pass_fds=[lock.fileno()], check=True)
        started = [
            subprocess.Popen(["sleep", "600"], pass_fds=[lock.fileno()]) for _ in range(readers - 1)
        ]
        try:
            (found,) = (one for one in live("locks") if one.inode == file.stat().st_ino)
            text = locks_text.text(live("locks"), Machine())
            line = next(row for row in text.splitlines() if str(file) in row)
        finally:
            for process in started:
                process.kill()
                process.wait()
    assert (found.kind, found.comm, found.path) == ("FLOCK", None, str(file))
    assert {one.pid for one in found.holders} == {os.getpid(), *(one.pid for one in started)}
    first = found.holders[0]
    others = "+1" if readers == 2 else ""
    assert line.split()[:2] == [f"{first.comm}{others}", str(first.pid)]


def test_shared_memory_is_what_lsipc_says() -> None:
    made = output("ipcmk", "-M", "12288", "-p", "0640").rsplit(None, 1)[1]
    try:
        ours = next(one for one in live("sysvipc/shm") if one.shmid == int(made))
        row = next(
            row for row in table("lsipc", "-m", "-J", "-b", "--numeric-perms") if row["id"] == made
        )
    finally:
        output("ipcrm", "-m", made)
    assert (ours.size, int(ours.perms, 8), ours.user, ours.nattch) == (
        12288,
        int(row["perms"], 8),
        row["owner"],
        0,
    )
    assert (ours.key & 0xFFFFFFFF, ours.cpid) == (int(row["key"], 16), int(row["cpid"]))
    assert (ours.atime, ours.removed, ours.locked) == (None, False, False)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("buddyinfo", {"zone": "zone", "blocks": "free_chunks"}),
        ("consoles", {"name": "device"}),
        (
            "crypto",
            {
                "name": "name",
                "driver": "driver",
                "type": "type",
                "priority": "priority",
                "refcnt": "refcnt",
            },
        ),
        (
            "diskstats",
            {"name": "device", "reads": "reads_completed", "writes_merged": "writes_merged"},
        ),
        ("filesystems", {"name": "filesystem", "nodev": "nodev"}),
        ("iomem", {"name": "device"}),
        ("ioports", {"name": "device"}),
        ("partitions", {"name": "name"}),
        ("slabinfo", {"name": "name", "active_objs": "active_objs", "objsize": "obj_size"}),
        ("softirqs", {"softirq": "counter"}),
        ("vmallocinfo", {"size": "size"}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_captured_tables_agree_with_jc(name: str, fields: dict[str, str]) -> None:
    ours, theirs = captured(name), parsed(name)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert {ours: getattr(mine, ours) for ours in fields} == {
            ours: other.get(name) for ours, name in fields.items()
        }
