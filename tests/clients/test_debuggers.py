"""strace and gdb with the mirror at /proc: ptrace(2) is theirs, names and memory come from there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.agreement import PROC, agreed
from tests.harness import DEADLINE, until
from tests.mounting import Mount
from tests.programs import OVER_PROC, free_port, listens, over_proc, running, started

THREADS = "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); time.sleep(600)"
# What gdb says first when it cannot open the memory for writing; it then uses ptrace(2).
READ_ONLY = re.compile(
    r"^warning: opening /proc/(PID|self)/mem file .*failed: Read-only file system \(30\)$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[int, int]]:
    port = free_port()
    with running("nc", "-l", "127.0.0.1", port) as pid:
        until(lambda: listens(port), "nc does not listen")
        yield pid, port


def attached(proc: Path, log: Path, enough: str, *options: object) -> str:
    """What strace has written of a process when that matches `enough`.

    It lets go of the process then.
    """
    with log.open("w", encoding="utf-8") as output:
        program = started(
            *OVER_PROC, proc, "strace", *options, stdin=subprocess.DEVNULL, stderr=output
        )
    try:
        until(
            lambda: re.search(enough, log.read_text(encoding="utf-8"), re.DOTALL),
            f"strace says nothing over {proc}",
        )
    finally:
        program.send_signal(signal.SIGINT)
        program.wait(DEADLINE)
    return log.read_text(encoding="utf-8")


def test_strace_attaches_and_names_the_socket(
    mirror: Mount, listener: tuple[int, int], tmp_path: Path
) -> None:
    pid, port = listener
    traced = agreed(
        lambda proc: attached(proc, tmp_path / "log", "accept4.*>", "-yy", "-p", pid), mirror
    )
    assert f"accept4(3<TCP:[127.0.0.1:{port}]>" in traced


def test_strace_attaches_to_every_thread(mirror: Mount, tmp_path: Path) -> None:
    with running(sys.executable, "-S", "-c", THREADS, name="python") as pid:
        until(lambda: len(list(Path(f"/proc/{pid}/task").iterdir())) == 2, "no second thread")
        threads = {task.name for task in Path(f"/proc/{pid}/task").iterdir()}
        both = r"attached with 2 threads.*\[pid.*\[pid +\d+\] "
        found = agreed(
            lambda proc: set(
                re.findall(r"\[pid +(\d+)\] ", attached(proc, tmp_path / "log", both, "-fp", pid))
            ),
            mirror,
        )
        assert found == threads


def test_strace_starts_a_program(mirror: Mount) -> None:
    traced = agreed(
        lambda proc: (
            over_proc(proc, "strace", "-y", "-e", "trace=read", "cat", "/etc/hostname").err
        ),
        mirror,
    )
    assert "</etc/hostname>" in traced


def test_gdb_reads_and_writes_by_ptrace_where_memory_cannot_be_opened_for_writing(
    mirror: Mount,
) -> None:
    changing = ["set $old = *(unsigned char *)$sp", "set var *(unsigned char *)$sp = $old ^ 255"]
    asked = [
        "bt",
        "info proc",
        "info proc mappings",
        "info auxv",
        *changing,
        "print *(unsigned char *)$sp ^ $old",
    ]
    asked += ["set var *(unsigned char *)$sp = $old", "print *(unsigned char *)$sp - $old"]

    # Beside gdb in its mount namespace: gdb would enter another one, which a mirror does not let it.
    asleep = 'until grep -q nanosleep "/proc/$!/wchan"; do sleep 0.1; done'
    script = f'setarch -R sleep 631 & {asleep}; gdb "$@" -p $!; code=$?; kill $!; exit $code'
    options = ["-nx", "-q", "-batch", *(f"-ex={one}" for one in asked)]

    def debugged(proc: Path) -> tuple[str, str]:
        code, out, err = over_proc(proc, "sh", "-c", script, "sh", *options)
        assert code == 0
        return re.sub(r"process \d+|LWP \d+", "process", out), err

    (native, _), (mirrored, warnings) = debugged(PROC), debugged(mirror.path)
    assert mirrored == native
    assert (
        "cmdline = 'sleep 631'" in native
        and "AT_EXECFN" in native
        and native.splitlines()[-3:-1] == ["$1 = 255", "$2 = 0"]
    )
    assert len(READ_ONLY.findall(warnings)) == 2
