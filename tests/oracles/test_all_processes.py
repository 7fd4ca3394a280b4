"""The views of all processes against psutil and against what the kernel refuses."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from procmirror.decoding.view import Machine
from procmirror.views import VIEWS, machine_text, memory, tree
from procmirror.views.pid import fd_other_uses, files
from tests.fixtures import MACHINES, Folder
from tests.live import Live
from tests.live import machine as facts

BY_NAME = {view.name: view for view in VIEWS}
CAPTURED = MACHINES / "tree"


def live(name: str) -> Any:
    each = BY_NAME[name].of(Live("/proc"), facts())
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
    each = BY_NAME[name].of(Refusing(refused), Machine())
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
    yield process.pid, child, tmp_path
    psutil.Process(child).kill()
    process.kill()
    process.communicate()


def test_memory_is_what_psutil_sums_up(family: tuple[int, int, Path]) -> None:
    pid, _, _ = family
    (found,) = (one for one in live("memory") if one.pid == pid)
    expected = psutil.Process(pid).memory_full_info()
    assert (found.Pss, found.Uss, found.Swap) == (
        pytest.approx(expected.pss, rel=0.1),
        pytest.approx(expected.uss, rel=0.1),
        expected.swap,
    )
    assert not found.incomplete


def test_processes_without_memory_are_left_out_of_memory() -> None:
    shown = {one.pid for one in live("memory")}
    kernel_threads = {p.pid for p in psutil.process_iter() if 2 in {p.pid, p.ppid()}}
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
    found = live("machine")
    assert found.memory.total == psutil.virtual_memory().total
    assert found.memory.available == pytest.approx(psutil.virtual_memory().available, rel=0.1)
    assert found.cpu.cpus == psutil.cpu_count()
    assert found.uptime == pytest.approx(time.time() - psutil.boot_time(), abs=30)
    assert found.kernel == os.uname().release
    disks = psutil.disk_io_counters(perdisk=True)
    assert {disk.name for disk in found.disks} <= set(disks)
    interfaces = psutil.net_io_counters(pernic=True)
    assert {one.name for one in found.interfaces} == {
        name for name, one in interfaces.items() if name != "lo" and one.bytes_recv + one.bytes_sent
    }
    assert found.incomplete == []


PARTS = ("loadavg", "uptime", "stat", "meminfo", "diskstats", "pressure/io", "self/net/tcp")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_machine_that_fails_takes_no_other(part: str) -> None:
    whole = BY_NAME["machine"].of(Folder(CAPTURED), Machine())
    broken = BY_NAME["machine"].of(Folder(CAPTURED, {part: b"some \xff garbage\n"}), Machine())
    complete, found = (each.content(iter(each)) for each in (whole, broken))
    assert [one.part for one in found.incomplete] == [part]
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
    assert files.access(b"pos:\t0\n") is None


def test_a_process_with_too_many_files_is_cut_with_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_DESCRIPTORS", 2)
    monkeypatch.setattr(fd_other_uses, "MOST_MAPS", 100)
    found = [one for one in refused("files") if one.comm == "tail"]
    assert [one.fd for one in found if one.use == "fd"] == [0, 1]
    (cut,) = (one.incomplete for one in found if one.incomplete)
    assert [(part.part, part.reason) for part in cut] == [("fd", "EFBIG"), ("maps", "EFBIG")]
