"""The views of all processes against psutil and against what the kernel refuses."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from msgspec import convert, structs

from procmirror.decoding.view import Machine
from procmirror.views import VIEWS, machine, machine_text, memory, tree
from procmirror.views.pid import fd_other_uses, files
from tests.fixtures import MACHINES, Folder
from tests.harness import rests, steady, until
from tests.live import Live
from tests.live import machine as facts
from tests.mounting import Mount
from tests.programs import ran, running
from tests.readings import Imitated

BY_NAME = {view.name: view for view in VIEWS}
CAPTURED = MACHINES / "tree"


def live(name: str) -> Any:
    each = BY_NAME[name].record_of(Live("/proc"), facts())
    return each.content(iter(each))


class Refusing(Folder):
    """Captured files, some of which the kernel refuses."""

    def __init__(self, refused: dict[str, int]) -> None:
        super().__init__(CAPTURED)
        self.refused = refused

    def _check(self, path: str) -> None:
        number = self.refused.get(path.rpartition("/")[2], self.refused.get(path))
        if number:
            raise OSError(number, os.strerror(number))

    def read(self, path: str) -> bytes:
        self._check(path)
        return super().read(path)

    def link(self, path: str) -> str:
        self._check(path)
        return super().link(path)

    def names(self, path: str) -> list[str]:
        self._check(path)
        return super().names(path)


def refused(name: str, **refused: int) -> Any:
    each = BY_NAME[name].record_of(Refusing(refused), Machine())
    return each.content(iter(each))


@pytest.fixture
def family(tmp_path: Path) -> Iterator[tuple[int, int, Path]]:
    """A python with a deleted file, a mapped one and a child; its pid, the child's, the folder."""
    program = (
        "import mmap, subprocess, sys, time, os\n"
        "kept = open('deleted', 'w'); os.unlink('deleted')\n"
        "page = open('mapped', 'w+b'); page.truncate(4096); shared = mmap.mmap(page.fileno(), 4096)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    until(lambda: rests(process.pid) and rests(child), "they do not rest")
    yield process.pid, child, tmp_path
    psutil.Process(child).kill()
    process.kill()
    process.communicate()


def test_memory_is_what_psutil_sums_up(family: tuple[int, int, Path]) -> None:
    pid, _, _ = family

    def shown() -> Any:
        (found,) = (one for one in live("memory") if one.pid == pid)
        return found

    # What is shared counts less the more processes have it.
    expected, found = steady(psutil.Process(pid).memory_full_info, shown)
    # The kernel rounds a share of a page now and then.
    shares = pytest.approx(expected.pss, rel=0.01), pytest.approx(expected.uss, rel=0.01)
    assert (found.Pss, found.Uss, found.Swap) == (*shares, expected.swap)
    assert not found.incomplete


def test_processes_without_memory_are_left_out_of_memory() -> None:
    shown = {one.pid for one in live("memory")}
    kernel_threads = set()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if 2 in {process.pid, process.ppid()}:
                kernel_threads.add(process.pid)
    assert os.getpid() in shown
    assert kernel_threads
    assert not shown & kernel_threads


def test_memory_that_is_refused_is_shown_with_the_reason() -> None:
    found = {one.pid: one for one in refused("memory", smaps_rollup=errno.EACCES)}
    reasons = {part.reason for one in found.values() for part in one.incomplete}
    assert reasons == {"EACCES"}
    assert all(one.VmRSS and one.Pss is None for one in found.values())
    assert "?" in memory.text(found.values(), Machine())


def test_files_are_what_psutil_finds(family: tuple[int, int, Path]) -> None:
    pid, _, folder = family
    found = [one for one in live("files") if one.pid == pid]
    process = psutil.Process(pid)
    by_use = {use: {one.path for one in found if one.use == use} for use in ("cwd", "exe", "map")}
    assert by_use["cwd"] == {process.cwd()} == {str(folder)}
    assert by_use["exe"] == {process.exe()}
    mapped = {region.path for region in process.memory_maps() if region.path.startswith("/")}
    assert by_use["map"] == mapped
    assert str(folder / "mapped") in mapped
    opened = {(one.fd, one.path) for one in found if one.use == "fd" and not one.deleted}
    assert {(file.fd, file.path) for file in process.open_files()} <= opened
    (gone,) = (one for one in found if one.deleted and one.path.startswith(str(folder)))
    assert (gone.path, gone.access, gone.use) == (str(folder / "deleted"), "write", "fd")


def test_parts_that_are_refused_are_named_and_the_others_shown() -> None:
    found = [one for one in refused("files", maps=errno.EACCES, exe=errno.EPERM) if one.pid != 2]
    unread = {(part.part, part.reason) for one in found for part in one.incomplete or []}
    assert unread == {("maps", "EACCES"), ("exe", "EPERM")}
    assert {one.use for one in found} == {"cwd", "root", "fd", None}


def test_the_tree_is_that_of_psutil(family: tuple[int, int, Path]) -> None:
    pid, child, _ = family
    found = {one.pid: one for one in live("tree")}
    assert found[pid].children == [child]
    assert found[child].ppid == pid
    assert found[pid].depth == len(psutil.Process(pid).parents()) - (
        psutil.Process(pid).parents()[-1].pid not in found
    )
    assert found[child].depth == found[pid].depth + 1


def test_parents_come_before_their_children() -> None:
    seen: set[int] = set()
    for one in live("tree"):
        assert one.depth == 0 or one.ppid in seen
        seen.add(one.pid)


def test_a_circle_of_parents_loses_nobody() -> None:
    """Parents are read one after the other; pids can be reused meanwhile."""
    each = tree.join(Folder(CAPTURED), Machine())
    status = {one.pid: one for one in each}
    first, second = sorted(status)[1:3]
    circle = [
        tree._Found(pid, changed, None, [])
        for pid, parent in ((first, second), (second, first))
        for changed in [_with_parent(status[pid].told, parent)]
    ]
    assert {one.pid for one in tree.arranged(circle)} == {first, second}


def _with_parent(told: Any, parent: int) -> Any:
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return type(told)(**{**fields, "PPid": parent})


def test_a_deep_tree_stays_on_the_screen() -> None:
    """Six hundred generations are drawn, each with its number beyond the deepest indentation."""
    each = tree.join(Folder(CAPTURED), Machine())
    (told, *_) = (one.told for one in each)
    chain = []
    for pid in range(1, 601):
        fields = {name: getattr(told, name) for name in told.__struct_fields__}
        fields |= {"Pid": pid, "PPid": pid - 1}
        chain.append(tree._Found(pid, type(told)(**fields), None, []))
    lines = tree.text(tree.arranged(chain), Machine()).splitlines()
    assert len(lines) == 601
    assert max(map(len, lines)) < 2 * tree.DEEPEST + 60
    assert "(599) " in lines[-1]


def test_the_machine_is_what_psutil_says() -> None:
    def steadily_told() -> tuple[set[str], set[str]]:
        """The names of disks and interfaces, which may come and go."""
        used = {
            name
            for name, one in psutil.net_io_counters(pernic=True).items()
            if name != "lo" and one.bytes_recv + one.bytes_sent
        }
        return set(psutil.disk_io_counters(perdisk=True)), used

    def is_available() -> bool:
        """Whether as much memory is available as before or after, or between both."""
        before, found = psutil.virtual_memory().available, live("machine").memory.available
        after = psutil.virtual_memory().available
        return bool(0.9 * min(before, after) <= found <= 1.1 * max(before, after))

    until(is_available, "another amount of memory is available")
    (disks, interfaces), found = steady(steadily_told, lambda: live("machine"))
    assert found.memory.total == psutil.virtual_memory().total
    assert found.cpu.cpus == psutil.cpu_count()
    assert found.uptime == pytest.approx(time.time() - psutil.boot_time(), abs=30)
    assert found.kernel == os.uname().release
    assert {disk.name for disk in found.disks} <= disks
    assert {one.name for one in found.interfaces} == interfaces
    assert found.incomplete == []


def test_the_largest_process_of_the_machine_is_told_with_its_user() -> None:
    def told() -> tuple[int, int] | None:
        """Its user, and who it is by psutil; None if it ended meanwhile."""
        here = live("machine").processes.largest[0]
        with suppress(psutil.NoSuchProcess):
            return here.uid, psutil.Process(here.pid).uids().effective
        return None

    ours, theirs = until(told)
    assert ours == theirs


# The first thread sleeps; of the others one computes outside of the interpreter, and one waits for a
# child of vfork that waits for a writer, and keeps the interpreter to itself.
THREADS = """
import hashlib, os, sys, threading, time
def named(name, run):
    def begin():
        with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as file:
            file.write(name)
        run()
    threading.Thread(target=begin, daemon=True).start()
def spin():
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 2**31 - 1)
def spawn():
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
named("runs) R 1", spin)
time.sleep(0.5)
named("is stuck", spawn)
time.sleep(600)
"""
# The first thread ends, and another goes on.
LEADERLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).syscall(60, 0)
"""


@pytest.mark.parametrize("by", ["root", "wes"])
def test_the_machine_names_threads_that_make_the_load(mirror: Mount, wes: int, by: str) -> None:
    user = wes if by == "wes" else None
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory()))
        place.chmod(0o755)
        fifo = place / "fifo"
        os.mkfifo(fifo)
        fifo.chmod(0o666)
        pid = stack.enter_context(running(sys.executable, "-c", THREADS, fifo, user=wes))
        leaderless = stack.enter_context(running(sys.executable, "-c", LEADERLESS))
        found: dict[str, Any] = {}

        def is_told() -> bool:
            told = ran("cat", mirror.path / "machine.json", user=user).out
            processes = json.loads(told)["processes"]
            for kind in ("runnable", "blocked", "zombies"):
                found[kind] = [one for one in processes[kind] if one["pid"] in {pid, leaderless}]
            runs = {one["thread"] for one in found["runnable"]}
            # A thread that goes to sleep is D for a moment before the kernel says where it sleeps.
            waits = [one["waits_for"] for one in found["blocked"]]
            return waits == ["its vfork child to exec or exit"] and "runs) R 1" in runs

        try:
            until(lambda: "Z (zombie)" in Path(f"/proc/{leaderless}/status").read_text(), "it runs")
            until(is_told, "the threads are not named")
        finally:
            os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK))
    (stuck,) = found["blocked"]
    assert (stuck["thread"], stuck["tid"] != pid) == ("is stuck", True)
    assert found["zombies"] == []
    named = machine_text._blocked(convert(stuck, machine.Named))
    assert named.startswith(f"is stuck({stuck['tid']}) of ") and named.endswith(
        ": " + stuck["waits_for"]
    )


class Noting(Live):
    """The live /proc, with the paths of the files that were read."""

    def __init__(self) -> None:
        super().__init__("/proc")
        self.seen: list[str] = []

    def read(self, path: str) -> bytes:
        self.seen.append(path)
        return super().read(path)


def test_too_many_threads_take_none_of_others_and_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A walk leaves out a process that takes long: in it only one file of each is read."""
    program = (
        "import threading, time\nfor _ in range({}):\n    threading.Thread(target=time.sleep, "
    )
    program += "args=(600,)).start()"
    with ExitStack() as stack:
        few, many = (
            stack.enter_context(running(sys.executable, "-c", program.format(count)))
            for count in (2, 20)
        )
        until(lambda: len(os.listdir(f"/proc/{many}/task")) == 21, "no threads")
        until(lambda: len(os.listdir(f"/proc/{few}/task")) == 3, "no threads")
        reading = Noting()
        walk = BY_NAME["machine"].record_of(reading, facts())
        told = [one for pid in (many, few) for one in walk.make(str(pid))]
        assert reading.seen == [f"{many}/status", f"{few}/status"]
        monkeypatch.setattr(machine, "MOST_THREADS", 20)
        found = walk.content(iter([told[:1], told[1:]]))
    assert found.processes.threads == 24
    (cut,) = (one for one in found.incomplete if one.part == "task")
    assert cut.reason == f"too many threads; not looked at are those of {many}"
    looked = {path.split("/")[0] for path in reading.seen if "/task/" in path}
    assert looked == {str(few)}


def test_of_many_addresses_those_that_others_reach_are_named_first() -> None:
    addresses = [f"127.0.0.1:{port}" for port in range(9000, 9010)]
    found = live("machine")
    found = structs.replace(found, listeners=[*addresses, "[::1]:80", "[::]:443", "0.0.0.0:22"])
    (line,) = (
        line for line in machine_text.text(found, facts()).splitlines() if "listening" in line
    )
    assert line.split(None, 1)[1] == (
        "0.0.0.0:22, [::]:443, [::1]:80, 127.0.0.1:9000, 127.0.0.1:9001, and 8 more (sockets.txt)"
    )


PARTS = ("loadavg", "uptime", "stat", "meminfo", "diskstats", "pressure/io", "self/net/tcp")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_machine_that_fails_takes_no_other(part: str) -> None:
    whole = BY_NAME["machine"].record_of(Folder(CAPTURED), Machine())
    broken = BY_NAME["machine"].record_of(
        Folder(CAPTURED, {part: b"some \xff garbage\n"}), Machine()
    )
    complete, found = (each.content(iter(each)) for each in (whole, broken))
    assert {one.part for one in found.incomplete} == {part}
    assert f"{part} (" in machine_text.text(found, Machine())
    same = [
        name for name in found.__struct_fields__ if getattr(found, name) == getattr(complete, name)
    ]
    assert len(same) == len(found.__struct_fields__) - 2


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_machine_that_is_refused_is_named(part: str) -> None:
    found = refused("machine", **{part: errno.EACCES})
    assert [(one.part, one.reason) for one in found.incomplete] == [(part, "EACCES")]


def test_files_of_a_descriptor_say_how_it_is_open() -> None:
    assert files.access(b"pos:\t0\nflags:\t0100001\n") == "write"
    assert files.access(b"pos:\t0\nflags:\t012000000\n") == "path"
    assert files.access(b"flags:\t02\n") == "read-write"
    with pytest.raises(ValueError, match=r"expected a line flags:"):
        files.access(b"pos:\t0\n")


def test_a_process_with_too_many_files_is_cut_with_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_DESCRIPTORS", 2)
    monkeypatch.setattr(fd_other_uses, "MOST_OF_MAPS", 100)
    found = [one for one in refused("files") if one.comm == "tail"]
    assert [one.fd for one in found if one.use == "fd"] == [0, 1]
    (cut,) = (one.incomplete for one in found if one.incomplete)
    assert [(part.part, part.reason) for part in cut] == [("fd", "EFBIG"), ("maps", "EFBIG")]


@pytest.mark.root
def test_of_kernel_threads_the_kernel_tells_what_is_not_asked_for() -> None:
    """They have neither arguments nor a program, and it tells their directory."""
    found = {one.pid: one for one in live("processes") if "PF_KTHREAD" in one.stat.flags}
    lasting = 0
    for pid, one in found.items():
        place = Path("/proc", str(pid))
        # A worker of the kernel ends when there is nothing to do.
        with suppress(FileNotFoundError, ProcessLookupError):
            assert place.joinpath("cmdline").read_bytes() == b""
            cwd = os.readlink(place / "cwd")
            with pytest.raises(FileNotFoundError):
                os.readlink(place / "exe")
            place.stat()
            assert (one.cmdline, one.exe, one.cwd, one.incomplete) == ([], None, cwd, [])
            lasting += 1
    assert lasting > 5


_KTHREADD = (
    b"2 (kthreadd) S 0 0 0 0 -1 %d 0 0 0 0 0 1 0 0 20 0 1 0 4 0 0 18446744073709551615 "
    b"0 0 0 0 0 0 0 2147483647 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


@pytest.mark.parametrize(("flags", "asked"), [(0x208040, set()), (0x8040, {"exe", "cmdline"})])
def test_who_may_not_know_the_directory_is_not_told_that_there_is_no_program(
    flags: int, asked: set[str]
) -> None:
    """A kernel thread is not asked for its program, and what is told is the same."""
    source = Imitated({"2/stat": _KTHREADD % flags, "2/cmdline": b""}, unnamed=errno.EACCES)
    each = BY_NAME["processes"].record_of(source, Machine())
    (found,) = each.content(iter(each))
    assert (found.exe, found.cwd, found.cmdline) == (None, None, [])
    missing = {one.part: one.reason for one in found.incomplete}
    assert missing["exe"] == missing["cwd"] == "EACCES"
    assert {name for name in ("exe", "cmdline") if f"2/{name}" in source.asked} == asked
