"""The table of other libraries in docs/API.md, and the classes of records."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

import procmirror
from procmirror.views import VIEWS
from tests.peers import PAGE, PEERS, renewed, table


def test_the_table_is_that_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = [peers for peers in PEERS.values() if set(peers) != {"-"}]
    assert page == renewed(page), "renew it: python -m tests.peers"
    assert table().count("\n| `") == len(rows)


def test_it_names_views_that_there_are() -> None:
    assert set(PEERS) <= {view.name for view in VIEWS}


@pytest.mark.parametrize("name", sorted({peers[0] for peers in PEERS.values()} - {"-"}))
def test_psutil_has_what_the_table_says(name: str) -> None:
    owner, _, attribute = name.rpartition(".")
    assert hasattr(psutil.Process if owner else psutil, attribute)


def _listed(view: str, key: str, value: str) -> dict[Any, Any]:
    return {getattr(one, key): getattr(one, value) for one in procmirror.read(view)}


def _busiest_disk() -> tuple[str, float]:
    disks = psutil.disk_io_counters(perdisk=True).items()
    name, counters = max(disks, key=lambda one: one[1].read_bytes)
    return name, counters.read_bytes


def _of_row(view: str, key: str, value: str) -> Any:
    """The only row of a view whose `key` is `value`."""
    (found,) = [one for one in procmirror.read(view) if getattr(one, key) == value]
    return found


# What changes between two readings: the number of psutil, and that of the view.
_PAIRS: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
    "PID/stat": (
        lambda: psutil.Process().cpu_times().user,
        lambda: procmirror.read("self/stat").utime,
    ),
    "PID/statm": (
        lambda: psutil.Process().memory_info().rss,
        lambda: procmirror.read("self/statm").resident,
    ),
    "PID/smaps_rollup": (
        lambda: psutil.Process().memory_full_info().pss,
        lambda: procmirror.read("self/smaps_rollup").Pss,
    ),
    "PID/io": (
        lambda: psutil.Process().io_counters().read_chars,
        lambda: procmirror.read("self/io").rchar,
    ),
    "diskstats": (
        lambda: _busiest_disk()[1],
        lambda: _of_row("diskstats", "name", _busiest_disk()[0]).bytes_read,
    ),
    "net/dev": (
        lambda: psutil.net_io_counters(pernic=True)["lo"].bytes_recv,
        lambda: _of_row("net/dev", "interface", "lo").receive.bytes,
    ),
    "loadavg": (lambda: psutil.getloadavg()[2], lambda: procmirror.read("loadavg").load15),
    "stat": (lambda: psutil.cpu_stats().ctx_switches, lambda: procmirror.read("stat").ctxt),
    "meminfo": (
        lambda: psutil.virtual_memory().available,
        lambda: procmirror.read("meminfo").MemAvailable,
    ),
    "uptime": (
        lambda: time.time() - psutil.boot_time(),
        lambda: procmirror.read("uptime").uptime,
    ),
    "tree": (
        lambda: len(psutil.Process(1).children()),
        lambda: sum(one.ppid == 1 for one in procmirror.read("tree")),
    ),
}
# How many more or less it may be where a tenth is too little: processes begin and end all the time.
_FEW = {"tree": 3}


def _near(view: str) -> bool:
    """Whether our number is about one that psutil has before or after, or between both."""
    theirs, ours = _PAIRS[view]
    before, found, after = theirs(), ours(), theirs()
    some = max(0.1 * max(before, after), _FEW.get(view, 0))
    return min(before, after) - some <= found <= max(before, after) + some


@pytest.mark.parametrize("view", _PAIRS)
def test_what_changes_is_nearly_what_psutil_says(view: str) -> None:
    """In one of ten looks, as other programs may begin and end five processes during one."""
    while os.times().user < 0.5:
        pass  # else no time at all might be near
    assert any(_near(view) for _ in range(10))


def test_the_swap_space_is_what_psutil_says() -> None:
    """In one of ten looks, as another test may add some."""
    assert any(
        sum(one.Size for one in procmirror.read("swaps")) == psutil.swap_memory().total
        for _ in range(10)
    )


def test_what_stays_is_what_psutil_says() -> None:
    """While this process opens nothing, starts nothing and maps nothing."""
    me = psutil.Process()
    with tempfile.NamedTemporaryFile() as held, socket.create_server(("127.0.0.1", 0)) as listening:
        opened = {one.fd: one.path for one in me.open_files()}
        files = _listed("self/fd", "fd", "target")
        assert opened[held.fileno()] == files[held.fileno()] == held.name
        port = listening.getsockname()[1]
        (ours,) = [one for one in procmirror.read("sockets") if one.local_port == port]
        (theirs,) = [one for one in psutil.net_connections() if one.laddr and one.laddr[1] == port]
        assert (theirs.status, theirs.pid) == ("LISTEN", ours.processes[0].pid)
        assert theirs.fd in ours.processes[0].fds
    status, limits = procmirror.read("self/status"), _listed("self/limits", "resource", "soft")
    assert (status.Uid.real, status.Uid.effective) == me.uids()[:2]
    assert limits["RLIMIT_NOFILE"] == me.rlimit(psutil.RLIMIT_NOFILE)[0]
    assert _listed("self/environ", "name", "value")["PATH"] == me.environ()["PATH"]
    assert {one.tid for one in procmirror.read("self/task")} == {one.id for one in me.threads()}
    assert procmirror.read("self/cmdline") == me.cmdline()
    assert procmirror.read("self/comm").comm == me.name()[:15]
    mapped = {one.path for one in me.memory_maps() if one.path.startswith("/")}
    assert mapped <= {one.pathname for one in procmirror.read("self/maps")}
    assert {one.device for one in psutil.disk_partitions(all=False)} <= {
        one.spec for one in procmirror.read("mounts")
    }
    assert len(procmirror.read("cpuinfo")) == psutil.cpu_count()


def test_every_record_is_an_instance_of_the_class_of_its_view() -> None:
    for view in ("self/status", "self/stat", "net/tcp", "meminfo", "self/fd", "uptime"):
        read = procmirror.read(view)
        kind = procmirror.record(view)
        assert issubclass(kind, procmirror.Record)
        assert all(isinstance(one, kind) for one in (read if isinstance(read, list) else [read]))


def test_most_views_have_a_class() -> None:
    without = []
    for view in VIEWS:
        try:
            procmirror.record(view.name)
        except TypeError:
            without.append(view.name)
    assert len(without) < len(VIEWS) / 6, without
    with pytest.raises(FileNotFoundError):
        procmirror.record("nothing")
