"""The views of open files, mappings, mounts, namespaces and processes against lsof, util-linux, procps and psutil."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from procmirror.decoding.render import rendered
from procmirror.decoding.view import Machine
from procmirror.views import VIEWS, processes
from procmirror.views.pid import maps, mountinfo, mounts, ns, pagemap, process, smaps, task
from procmirror.views.pid.used_file import Descriptor
from tests.harness import comes_true, until
from tests.live import Live, machine, of
from tests.programs import over_one

# A process that stands still and has one of each.
STILL = r"""
import ctypes, fcntl, mmap, os, select, socket, sys, threading, time
libc = ctypes.CDLL(None)
os.chdir(sys.argv[1])
log = os.open("log  with\nodd name", os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.write(log, b"x" * 8192)
fcntl.flock(log, fcntl.LOCK_EX)
fcntl.lockf(log, fcntl.LOCK_SH, 4, 2)
mapped = mmap.mmap(log, 8192)
gone = os.open("gone", os.O_WRONLY | os.O_CREAT | os.O_SYNC)
os.unlink("gone")
here = os.open(".", os.O_PATH)
ends = os.pipe()
queue = select.epoll()
queue.register(ends[0], select.EPOLLIN)
queue.register(ends[1], select.EPOLLOUT)
listener = socket.create_server(("127.0.0.1", 0))
peer = socket.create_connection(listener.getsockname())
accepted = listener.accept()
six = socket.create_server(("::1", 0), family=socket.AF_INET6)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
control = socket.socket(socket.AF_UNIX)
control.bind("control")
control.listen()
memory = os.memfd_create("cache block")
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print("standing", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Popen]:
    command = [sys.executable, "-c", STILL, str(tmp_path_factory.mktemp("still"))]
    with psutil.Popen(command, stdout=subprocess.PIPE) as standing:
        assert standing.stdout.readline() == b"standing\n"
        # Only when every thread has stopped do two readings agree, and waitpid(2) tells when.
        standing.send_signal(signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(standing.pid, os.WUNTRACED)[1])
        yield standing
        standing.kill()


@pytest.fixture(scope="module")
def directory(still: psutil.Popen) -> Path:
    return Path("/proc", str(still.pid))


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def lsof(pid: int) -> dict[int, dict[str, str]]:
    """What lsof says of each descriptor.

    A (access), t (type), n (name), o (offset), i (inode), l (lock), by field letter.
    """
    found: dict[int, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in output("lsof", "-p", str(pid), "-nP", "-F", "fatnoil").splitlines():
        if line[0] == "f":
            current = {}
            if line[1:].isdecimal():
                found[int(line[1:])] = current
        elif line[0] != "p":
            current[line[0]] = line[1:]
    return found


def descriptors(directory: Path) -> list[Descriptor]:
    return [one for one in of("PID/fd", directory) if one.use == "fd"]


def test_lsof_lists_the_same_descriptors(still: psutil.Popen, directory: Path) -> None:
    theirs, ours = lsof(still.pid), descriptors(directory)
    assert [one.fd for one in ours] == sorted(theirs)
    letters = {"read": "r", "write": "w", "read-write": "u", "path": " "}
    for one in ours:
        their = theirs[one.fd or 0]
        assert letters[one.access or ""] == their["a"] or one.access == "path"
        if one.type in {"file", "memfd", "directory"}:
            assert one.inode == int(their["i"])
            name = their["n"].replace("\\n", "\n")
            assert (one.target or "").removesuffix(" (deleted)") == name.removesuffix(" (deleted)")


def test_lsof_knows_the_same_sockets(still: psutil.Popen, directory: Path) -> None:
    theirs = lsof(still.pid)
    for one in descriptors(directory):
        if one.type != "socket":
            continue
        assert one.socket
        name = theirs[one.fd or 0]["n"]
        if one.socket.netid == "unix":
            assert one.socket.local is None or one.socket.local in name
        else:
            local, _, peer = name.partition("->")
            assert one.socket.local == local
            assert one.socket.peer == (peer or ("[::]:*" if "[" in local else "0.0.0.0:*"))


def test_psutil_knows_the_same_connections(still: psutil.Popen, directory: Path) -> None:
    theirs = {
        (conn.fd, f"{conn.laddr.ip}:{conn.laddr.port}", conn.status)
        for conn in still.net_connections("inet4")
    }
    states = {"ESTABLISHED": "ESTABLISHED", "LISTEN": "LISTEN", "CLOSE": "NONE"}
    ours = {
        (one.fd, one.socket.local, states[one.socket.state or ""])
        for one in descriptors(directory)
        if one.socket and one.socket.netid in {"tcp", "udp"}
    }
    assert ours == theirs


def test_psutil_knows_the_same_open_files(still: psutil.Popen, directory: Path) -> None:
    ours = {one.fd: one for one in descriptors(directory)}
    theirs = still.open_files()
    assert theirs
    for their in theirs:
        assert (ours[their.fd].target, ours[their.fd].offset) == (their.path, their.position)


def test_the_locks_are_those_that_were_taken(still: psutil.Popen, directory: Path) -> None:
    log = next(one for one in descriptors(directory) if one.locks)
    assert log.locks
    assert [(lock.kind, lock.type, lock.pid, lock.start, lock.end) for lock in log.locks] == [
        ("FLOCK", "WRITE", still.pid, 0, None),
        ("POSIX", "READ", still.pid, 2, 5),
    ]


def test_an_epoll_watches_what_was_added(directory: Path) -> None:
    (queue,) = [one for one in descriptors(directory) if one.epoll]
    assert queue.epoll
    kinds = {one.fd: (one.type, one.inode) for one in descriptors(directory)}
    assert {tuple(watch.events[:1]) for watch in queue.epoll} == {("EPOLLIN",), ("EPOLLOUT",)}
    assert [kinds[watch.fd] for watch in queue.epoll] == [
        ("pipe", watch.inode) for watch in queue.epoll
    ]


def found(tree: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for mount in tree:
        yield mount
        yield from found(mount.get("children", []))


def test_findmnt_sees_the_same_mounts() -> None:
    columns = "ID,PARENT,MAJ:MIN,TARGET,SOURCE,FSTYPE,VFS-OPTIONS,FS-OPTIONS,PROPAGATION,FSROOT"
    document = json.loads(output("findmnt", "-J", "-v", "-o", columns))
    theirs = {mount["id"]: mount for mount in found(document["filesystems"])}
    for one in of("PID/mountinfo", "/proc/self"):
        assert isinstance(one, mountinfo.Mount)
        their = theirs[one.mount_id]
        assert (one.parent_id, one.device, one.mount_point, one.fs_type) == (
            their["parent"],
            their["maj:min"],
            their["target"],
            their["fstype"],
        )
        assert one.source == (their["source"] or "")
        assert ",".join(one.options) == their["vfs-options"]
        assert ",".join(one.super_options) == their["fs-options"]
        assert one.root == their["fsroot"]
        assert ("shared" in their["propagation"]) == (one.shared is not None)


def test_psutil_sees_the_same_mounts() -> None:
    ours = [
        (one.spec if one.spec != "none" else "", one.file, one.vfstype, ",".join(one.mntops))
        for one in of("PID/mounts", "/proc/self")
    ]
    theirs = [
        (one.device, one.mountpoint, one.fstype, one.opts)
        for one in psutil.disk_partitions(all=True)
    ]
    assert ours == theirs
    assert all(isinstance(one, mounts.Mount) for one in of("PID/mounts", "/proc/self"))


# lsns fails where another process's namespaces cannot be read.
@pytest.mark.root
def test_lsns_sees_the_same_namespaces(still: psutil.Popen, directory: Path) -> None:
    # It gives up at a process that ends while it reads, or that has a newline in its name.
    command = ("lsns", "-J", "-p", still.pid, "-o", "NS,TYPE")
    listed = over_one(Path("/proc"), still.pid, *command).out
    theirs = {one["type"]: one["ns"] for one in json.loads(listed)["namespaces"]}
    ours: list[ns.Namespace] = of("PID/ns", directory)
    assert {one.name: one.inode for one in ours if not one.name.endswith("_for_children")} == theirs
    assert all(one.same for one in ours)


def test_pmap_adds_up_the_same_memory(still: psutil.Popen, directory: Path) -> None:
    *_, total = output("pmap", "-x", str(still.pid)).splitlines()
    size, rss, dirty = (int(number) * 1024 for number in total.split()[2:5])
    shown: list[smaps.Smap] = list(of("PID/smaps", directory))
    assert (sum(one.size or 0 for one in shown), sum(one.Rss or 0 for one in shown)) == (size, rss)
    assert sum((one.Private_Dirty or 0) + (one.Shared_Dirty or 0) for one in shown) == dirty


def test_psutil_maps_the_same_memory(still: psutil.Popen, directory: Path) -> None:
    theirs = {one.addr.partition("-")[0]: one for one in still.memory_maps(grouped=False)}
    for one in of("PID/smaps", directory):
        assert isinstance(one, smaps.Smap)
        assert one.start
        their = theirs[one.start[2:]]
        assert (one.perms, one.Rss, one.Swap) == (their.perms, their.rss, their.swap)
        assert (one.pathname or "[anon]").replace("\n", "\\012") == their.path or "  " in (
            one.pathname or ""
        )


def test_pages_in_memory_are_those_that_smaps_counts(directory: Path) -> None:
    resident = {one.start: one.Rss for one in of("PID/smaps", directory)}
    ours: list[pagemap.Pages] = list(of("PID/pagemap", directory))
    special = {"[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]"}
    for one in ours:
        if one.pathname is None:
            assert (
                one.exclusive <= (resident[one.start] or 0) <= one.present
            )  # between them, the page of zeros
        elif one.pathname not in special:
            assert one.present == resident[one.start]
    mapped: list[maps.Mapping] = of("PID/maps", directory)
    assert [one.start for one in mapped] == [one.start for one in ours]


def test_psutil_and_ps_see_the_same_threads(still: psutil.Popen, directory: Path) -> None:
    def same() -> bool:
        ours: list[task.Thread] = list(of("PID/task", directory))
        # The name last: Python 3.14 gives its threads names with blanks.
        listed = output("ps", "-L", "-o", "lwp=,state=,comm=", "-p", str(still.pid)).splitlines()
        return [[str(one.tid), (one.state or "")[0], one.comm] for one in ours] == [
            line.split(None, 2) for line in listed
        ]

    until(same, "ps does not list the threads as they are here")
    assert {one.tid for one in of("PID/task", directory)} == {one.id for one in still.threads()}


def test_psutil_knows_the_same_process(still: psutil.Popen, directory: Path) -> None:
    ours: process.Process = of("PID/process", directory)
    with still.oneshot():
        assert (ours.pid, ours.exe, ours.cwd, ours.cmdline) == (
            still.pid,
            still.exe(),
            still.cwd(),
            still.cmdline(),
        )
        assert ours.stat
        assert (ours.stat.ppid, ours.stat.num_threads, ours.stat.nice) == (
            still.ppid(),
            still.num_threads(),
            still.nice(),
        )
        assert ours.io
        assert (ours.io.rchar, ours.io.write_bytes) == (
            still.io_counters().read_chars,
            still.io_counters().write_bytes,
        )
        assert ours.status and ours.status.Uid
        assert ours.status.Uid.real == still.uids().real
        assert ours.stat.utime == still.cpu_times().user


def test_every_process_of_psutil_is_there_at_once() -> None:
    strange: set[int] = set()

    def all_known() -> bool:
        """One that came and went meanwhile is in neither list of psutil's."""
        before = set(psutil.pids())
        ours = {one.pid for one in processes.join(Live("/proc"), machine())}
        after = set(psutil.pids())
        assert before & after <= ours
        strange.clear()
        strange.update(ours - before - after)
        return not strange

    assert comes_true(all_known), strange


def test_a_list_of_all_processes_renders_as_lines(still: psutil.Popen) -> None:
    (view,) = [one for one in VIEWS if one.name == "processes"]
    lines = b"".join(
        rendered(view, "ndjson", view.record_of(Live("/proc"), machine()), Machine())
    ).splitlines()
    assert still.pid in [json.loads(line)["pid"] for line in lines]
    assert all(re.match(rb'\{"pid":[0-9]+,', line) for line in lines)


@pytest.mark.root
def test_a_process_in_other_namespaces_is_seen_as_such() -> None:
    command = "import ctypes, time; ctypes.CDLL(None).unshare(0x04000000); print('standing', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"standing\n"
        other = [one.name for one in of("PID/ns", f"/proc/{child.pid}") if one.same is False]
        child.kill()
    assert other == ["uts"]
