"""strace and gdb with the mirror at /proc: ptrace(2) is theirs, names and memory come from there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.agreement import PROC, agreed
from tests.mounting import Mount
from tests.programs import free_port, listens, over_proc, running, until

THREADS = "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); time.sleep(600)"
# What gdb says first when it cannot open the memory for writing; it then uses ptrace(2).
READ_ONLY = re.compile(r"^warning: opening /proc/(PID|self)/mem file .*failed: Read-only file system \(30\)$", re.MULTILINE)


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, int]]:
    port = free_port()
    with running("nc", "-l", "127.0.0.1", port) as pid:
        until(lambda: listens(port), "nc does not listen")
        yield pid, port


def test_strace_attaches_and_names_the_socket(mirror: Mount, listener: tuple[int, int]) -> None:
    pid, port = listener

    def traced(proc: Path) -> str:
        code, _, err = over_proc(proc, "timeout", "-s", "INT", "0.5", "strace", "-yy", "-p", pid)
        assert code == 124
        return err

    assert f"accept4(3<TCP:[127.0.0.1:{port}]>" in agreed(traced, mirror)


def test_strace_attaches_to_every_thread(mirror: Mount) -> None:
    with running(sys.executable, "-S", "-c", THREADS, name="python") as pid:
        until(lambda: len(list(Path(f"/proc/{pid}/task").iterdir())) == 2, "no second thread")
        threads = {task.name for task in Path(f"/proc/{pid}/task").iterdir()}

        def attached(proc: Path) -> set[str]:
            _, _, err = over_proc(proc, "timeout", "-s", "INT", "0.5", "strace", "-f", "-p", pid)
            assert "attached with 2 threads" in err
            return set(re.findall(r"^\[pid +(\d+)\] ", err, re.MULTILINE))

        assert agreed(attached, mirror) == threads


def test_strace_starts_a_program(mirror: Mount) -> None:
    traced = agreed(lambda proc: over_proc(proc, "strace", "-y", "-e", "trace=read", "cat", "/etc/hostname").err, mirror)
    assert "</etc/hostname>" in traced


def test_gdb_reads_and_writes_by_ptrace_where_memory_cannot_be_opened_for_writing(mirror: Mount) -> None:
    changing = ["set $old = *(unsigned char *)$sp", "set var *(unsigned char *)$sp = $old ^ 255"]
    asked = ["bt", "info proc", "info proc mappings", "info auxv", *changing, "print *(unsigned char *)$sp ^ $old"]
    asked += ["set var *(unsigned char *)$sp = $old", "print *(unsigned char *)$sp - $old"]

    def debugged(proc: Path, pid: int) -> tuple[str, str]:
        code, out, err = over_proc(proc, "gdb", "-nx", "-q", "-batch", "-p", pid, *(f"-ex={one}" for one in asked))
        assert code == 0
        return out, err

    with running("sleep", "631") as pid:
        (native, _), (mirrored, warnings) = debugged(PROC, pid), debugged(mirror.path, pid)
    assert mirrored == native
    assert "cmdline = 'sleep 631'" in native and "AT_EXECFN" in native and native.splitlines()[-3:-1] == ["$1 = 255", "$2 = 0"]
    assert len(READ_ONLY.findall(warnings)) == 2
