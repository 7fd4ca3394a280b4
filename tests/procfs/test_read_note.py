"""What a worker reads at the moment, as the daemon sees it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from procmirror.procfs import read_note
from procmirror.procfs.read_note import (
    LINKS,
    Noted,
    ReadNote,
    Reads,
    could_run,
    is_blocked,
    noted,
    waits_likewise,
)
from procmirror.procfs.reading import Sources
from tests.harness import comes_true


@pytest.fixture
def descriptor() -> Iterator[int]:
    note = read_note.new()
    yield note
    os.close(note)


@pytest.fixture
def proc() -> Iterator[int]:
    directory = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield directory
    os.close(directory)


def test_a_read_is_noted_while_it_lasts(descriptor: int) -> None:
    note = ReadNote(descriptor)
    assert noted(descriptor) is None
    note.begin("cmdline")
    assert noted(descriptor) == Noted(1, "cmdline")
    note.end()
    assert noted(descriptor) is None
    note.begin("task/7/mem")
    assert noted(descriptor) == Noted(2, "task/7/mem")


def test_another_read_of_the_same_source_is_another_read(descriptor: int) -> None:
    note = ReadNote(descriptor)
    note.begin("mem")
    first = noted(descriptor)
    note.end()
    note.begin("mem")
    assert noted(descriptor) != first


@pytest.mark.parametrize("path", ["x" * 10_000, "bytes\udcff", "two words", ""])
def test_any_path_can_be_noted(descriptor: int, path: str) -> None:
    ReadNote(descriptor).begin(path)
    assert noted(descriptor) == Noted(1, path[:256])


@pytest.mark.parametrize(
    "raw", [b"\xff" * 5000, b"", b"12", b"x y\0", b"9" * 300, b"1" * 30 + b" x"]
)
def test_a_note_that_somebody_else_wrote_is_not_believed(descriptor: int, raw: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, raw, 0)
    assert noted(descriptor) is None


def test_a_process_that_sleeps_is_blocked_and_one_that_calculates_is_not(proc: int) -> None:
    with subprocess.Popen(["sleep", "100"]) as sleeps:
        assert comes_true(lambda: is_blocked(proc, sleeps.pid))
        assert not could_run(proc, sleeps.pid)
        sleeps.kill()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as calculates:
        assert comes_true(lambda: not is_blocked(proc, calculates.pid))
        assert comes_true(lambda: could_run(proc, calculates.pid))
        calculates.kill()


def test_every_source_is_noted_and_none_of_those_left_out_is_read(
    descriptor: int, tmp_path: Path
) -> None:
    (tmp_path / "status").write_bytes(b"1")
    (tmp_path / "link").symlink_to("target")
    seen: list[Noted | None] = []

    class Seen(ReadNote):
        def end(self) -> None:
            seen.append(noted(descriptor))
            super().end()

    folder = os.open(tmp_path, os.O_RDONLY)
    reads = Reads(Seen(descriptor), frozenset(("cmdline", "net/tcp")))
    sources = Sources(folder, b"", None, None, lambda: None, reads)
    assert sources.read("status") == b"1"
    assert sources.part("status", 0, 1) == b"1"
    assert list(sources.lines("status")) == [b"1"]
    assert sources.link("link") == "target"
    assert sorted(sources.names(".")) == ["link", "status"]
    paths = ["status", "status", "status", "status", "link", "."]
    assert [one.path for one in seen if one] == paths
    for ask in (sources.read, sources.link, sources.names, lambda path: sources.part(path, 0, 1)):
        for path in ("cmdline", "task/7/cmdline", "net/tcp"):
            with pytest.raises(TimeoutError) as refused:
                ask(path)
            assert refused.value.errno == errno.ETIMEDOUT
    sources.close()
    os.close(folder)


def test_what_waits_for_the_same_lock_is_left_out_together() -> None:
    assert {"cmdline", "mem", "smaps"} <= waits_likewise("task/7/environ")
    assert "maps" not in waits_likewise("mem")
    assert {"maps", "mem", "stack", "syscall", "io"} <= waits_likewise("syscall")
    assert waits_likewise("fdinfo/3") == {"fdinfo/3"}
    # Kernels that take the exec lock for links take it for what always waited for it.
    assert {LINKS, "io", "environ"} <= waits_likewise("task/7/ns/user") == waits_likewise("fd/3")
    assert "stat" not in waits_likewise("exe")
    assert LINKS not in waits_likewise("io") | waits_likewise("map_files/1-2")
    assert {LINKS, "stat", "wchan", "io", "environ"} <= waits_likewise("stat")
