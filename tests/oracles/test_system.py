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
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jc
import psutil
import pytest

from procmirror.decoding.view import Machine
from procmirror.views import VIEWS, locks_text
from tests.fixtures import MACHINES, Folder
from tests.harness import at_last, comes_true, steady, until
from tests.live import of

BY_NAME = {view.name: view for view in VIEWS}
CAPTURED = MACHINES / "bookworm"


def live(name: str) -> Any:
    directory, _, _ = f"/proc/{name}".rpartition("/")
    return of(name, directory)


def captured(name: str) -> Any:
    return BY_NAME[name].record_of(Folder((CAPTURED / name).parent), Machine())


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


Reading = Callable[[], Mapping[Any, float]]


def within(ours: Reading, theirs: Reading, slack: Mapping[Any, float]) -> None:
    """Assert that numbers of theirs lie between ours of before and after, if need be in another look.

    `slack` says which numbers, and how much each may lie beyond. What is gone meanwhile is passed
    over.
    """
    wrong: dict[Any, tuple[float, float, float]] = {}

    def agrees() -> bool:
        before, told, after = ours(), theirs(), ours()
        wrong.clear()
        for name in slack.keys() & before.keys() & told.keys() & after.keys():
            low, high = sorted((before[name], after[name]))
            if not low - slack[name] <= told[name] <= high + slack[name]:
                wrong[name] = before[name], told[name], after[name]
        return len(before) >= len(slack) > 0 and not wrong

    assert comes_true(agrees), wrong


def test_meminfo_is_what_free_says() -> None:
    names = {"MemFree": "free", "MemAvailable": "available", "Buffers": "buffers"}
    names |= {"Shmem": "shared", "SwapTotal": "swap", "MemTotal": "total"}
    slack = dict.fromkeys(names, 64 << 20) | {"SwapTotal": 0, "MemTotal": 0}

    def told() -> dict[str, int]:
        header, memory, swap = (line.split() for line in output("free", "-b", "-w").split("\n")[:3])
        told = dict(zip(header, map(int, memory[1:]), strict=True)) | {"swap": int(swap[1])}
        return {ours: told[theirs] for ours, theirs in names.items()}

    within(lambda: {name: getattr(live("meminfo"), name) for name in names}, told, slack)
    assert live("meminfo").MemTotal == psutil.virtual_memory().total


def test_uptime_and_boot_time_are_the_clocks() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    uptime = live("uptime").uptime
    assert before - 0.02 <= uptime <= time.clock_gettime(time.CLOCK_BOOTTIME)
    theirs, ours = steady(psutil.boot_time, lambda: live("stat").btime)
    told = datetime.fromisoformat(ours).timestamp()
    assert told == theirs
    booted, now = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    assert abs(told - (booted - now)) < 2


def test_loadavg_is_the_c_librarys() -> None:
    before, theirs, after = live("loadavg"), os.getloadavg(), live("loadavg")
    assert pytest.approx(theirs, abs=0.006) in [
        (one.load1, one.load5, one.load15) for one in (before, after)
    ]


def test_times_of_the_cpus_are_psutils() -> None:
    modes = psutil.cpu_times()._fields
    assert len(live("stat").cpus) == psutil.cpu_count()

    def named(cpus: list[Any]) -> dict[str, float]:
        return {f"{at} {mode}": getattr(cpu, mode) for at, cpu in enumerate(cpus) for mode in modes}

    # The kernel may take back some of the time without work.
    slack = dict.fromkeys(named(live("stat").cpus), 0.02)
    within(lambda: named(live("stat").cpus), lambda: named(psutil.cpu_times(percpu=True)), slack)
    before, counted, after = live("stat"), psutil.cpu_stats(), live("stat")
    assert before.ctxt <= counted.ctx_switches <= after.ctxt
    assert before.intr <= counted.interrupts <= after.intr


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
    names = {
        "reads": "read_count",
        "bytes_read": "read_bytes",
        "writes": "write_count",
        "bytes_written": "write_bytes",
    }

    def ours() -> dict[str, int]:
        counted = {
            f"{one.name} {other}": getattr(one, name)
            for one in live("diskstats")
            for name, other in names.items()
        }
        return counted | {
            f"{one.name} busy": round(one.io_time * 1000) for one in live("diskstats")
        }

    def theirs() -> dict[str, int]:
        disks = psutil.disk_io_counters(perdisk=True, nowrap=False).items()
        counted = {
            f"{disk} {name}": getattr(one, name) for disk, one in disks for name in names.values()
        }
        return counted | {f"{disk} busy": one.busy_time for disk, one in disks}

    within(ours, theirs, dict.fromkeys(theirs(), 0))


def test_partitions_are_what_lsblk_says() -> None:
    def listed() -> dict[tuple[str, str], int]:
        rows = table("lsblk", "-J", "-b", "-l", "-o", "NAME,MAJ:MIN,SIZE")
        return {(row["name"], row["maj:min"]): row["size"] for row in rows}

    sizes, found = steady(listed, lambda: live("partitions"))
    ours = {(one.name, one.device): one.size for one in found}
    assert ours
    assert ours.items() <= sizes.items()


def test_interrupts_are_what_lsirq_says() -> None:
    within(
        lambda: {one.interrupt: one.total for one in live("interrupts")},
        lambda: {row["irq"]: row["total"] for row in table("lsirq", "-J")},
        {row["irq"]: 0 for row in table("lsirq", "-J")},
    )


def test_vmstat_is_what_psutil_says_of_swap() -> None:
    def theirs() -> tuple[int, int]:
        swap = psutil.swap_memory()
        return swap.sin, swap.sout

    swapped, counters = steady(theirs, lambda: live("vmstat"))
    assert swapped == tuple(counters[name] * Machine().page_size for name in ("pswpin", "pswpout"))


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


# Numbers that change without being set, and names that are not listed or not decoded.
_PASSING = {"kernel/ns_last_pid", "kernel/random/uuid", "vm/stat_refresh"}
_COMING_AND_GOING = ("/conf/", "/neigh/", "fs/binfmt_misc/")


def _unlike_sysctl() -> set[str]:
    """The settings that sysctl(8) prints otherwise than before and after, or that are missing."""
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
    steady_ones = {
        name
        for name in settable
        if before[name] == after.get(name) and "\n" not in (before[name] or "\n")
    }
    assert len(steady_ones) > 500
    missing = set(theirs.keys() - before.keys() - after.keys() - _PASSING)
    passing = {name for name in missing if any(part in name for part in _COMING_AND_GOING)}
    unlike = {name for name in steady_ones - _PASSING if before[name] != theirs[name]}
    return unlike | missing - passing


def test_sys_is_what_sysctl_says() -> None:
    """What another program sets for a moment is soon seen to agree; what is wrong stays wrong."""
    lasting = _unlike_sysctl()
    for _ in range(4):
        lasting = lasting and lasting & _unlike_sysctl()
    assert lasting == set()


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
            mark = f"-> POSIX  ADVISORY  WRITE {started[-1].pid} "
            until(lambda: mark in Path("/proc/locks").read_text(encoding="utf-8"))  # noqa: B023
    yield file, [process.pid for process in started]
    for process in started:
        process.kill()
        process.communicate()


def test_a_lock_with_waiters_is_one_lock(waited_for: tuple[Path, list[int]]) -> None:
    file, (holder, second, third) = waited_for

    def all_listed() -> dict[int, dict[str, Any]] | None:
        """By lslocks(8); None where the kernel left one out, as it may of a list that changes."""
        columns = "PID,TYPE,MODE,START,END,PATH,BLOCKER,COMMAND"
        rows = {row["pid"]: row for row in table("lslocks", "-J", "-o", columns)}
        complete = {holder, second, third} <= rows.keys()
        return rows if complete and rows[third]["blocker"] == holder else None

    def whole() -> Any:
        found = [one for one in live("locks") if one.pid == holder]
        return found[0] if found and len(found[0].waiters) == 2 else None

    theirs, lock = until(all_listed), until(whole)
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
        wanted: list[tuple[object, ...]] = [
            ("FLOCK", "READ", os.getpid(), 0, None, []),
            ("OFDLCK", "WRITE", None, 7, 9, [os.getpid()]),
        ]

        def mine() -> list[tuple[object, ...]]:
            found = [one for one in live("locks") if one.inode == inode]
            holders = [[holder.pid for holder in one.holders] for one in found]
            return sorted(
                (one.kind, one.type, one.pid, one.start, one.end, by)
                for one, by in zip(found, holders, strict=True)
            )

        assert at_last(wanted, mine) == wanted


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
            inode = file.stat().st_ino
            (found,) = until(lambda: [one for one in live("locks") if one.inode == inode])
            text = locks_text.text([found], Machine())
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
        (ours,) = until(lambda: [one for one in live("sysvipc/shm") if one.shmid == int(made)])
        rows = ("lsipc", "-m", "-J", "-b", "--numeric-perms")
        (row,) = until(lambda: [row for row in table(*rows) if row["id"] == made])
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
