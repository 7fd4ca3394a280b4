"""What is measured against and looked at.

The C file system, processes of every size, one that holds its readers up.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness import ROOT, until

_EXAMPLE = Path("/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c")
_TARGETS = Path(__file__).with_name("targets.c")


def compiled(folder: Path) -> tuple[Path, Path]:
    """The passthrough_ll of libfuse and our targets."""
    if not _EXAMPLE.exists():
        raise SystemExit(
            f"{_EXAMPLE} is missing: apt-get install libfuse3-dev (documentation not excluded)"
        )
    peer, targets = folder / "passthrough_ll", folder / "targets"
    flags = subprocess.check_output(
        ["pkg-config", "fuse3", "--cflags", "--libs"], text=True
    ).split()
    subprocess.run(["gcc", "-O2", "-w", "-o", peer, _EXAMPLE, *flags], check=True)
    subprocess.run(["gcc", "-O2", "-pthread", "-o", targets, _TARGETS], check=True)
    return peer, targets


@contextmanager
def served(point: Path, *command: str | Path) -> Iterator[Path]:
    """A file system mounted by a command that stays in the foreground."""
    point.mkdir()
    with subprocess.Popen(list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL) as server:
        try:
            until(lambda: os.path.ismount(point), f"{command[0]} does not mount")
            yield point
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
            # One that was not told to unmount leaves its mount; for one that did this says so, to
            # nobody.
            subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)


@contextmanager
def passthrough(program: Path, folder: Path) -> Iterator[Path]:
    """/proc through libfuse's example in C, nothing cached.

    It holds a descriptor for each file that the kernel knows. Without one it answers EMFILE, which
    takes less time than an answer, so that it may have as many as the kernel allows.
    """
    with (
        _most_descriptors(),
        served(
            folder / "c",
            program,
            "-f",
            "-o",
            "source=/proc,cache=never,max_idle_threads=10",
            folder / "c",
        ) as point,
    ):
        yield point


@contextmanager
def _most_descriptors() -> Iterator[None]:
    """Let programs that start meanwhile have as many descriptors as this process may give them."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except ValueError:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def target(program: Path, kind: str, count: int) -> Iterator[int]:
    """The pid of a process with `count` children, threads or mappings, asleep.

    An environment that is the same everywhere.
    """
    environment = {f"VARIABLE_{number}": f"value {number}" * 3 for number in range(30)}
    with subprocess.Popen(
        [program, kind, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise OSError(f"no {count} {kind}")
        yield process.pid


@contextmanager
def stuck(folder: Path) -> Iterator[int]:
    """The pid of a process in an exec that does not end: whoever reads its environment waits."""
    with served(
        folder / "stall", sys.executable, "-m", "tests.benchmarks.stall", folder / "stall"
    ) as point:
        child = os.fork()
        if child == 0:
            os.open(point / "file", os.O_RDONLY)
            os.execv("/bin/sleep", ["sleep", "100"])
        try:
            until((point / "waiting").exists, "the exec ends")
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for mountpoints and programs."""
    with tempfile.TemporaryDirectory(
        prefix="procmirror-bench-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def memory(pids: list[int]) -> float:
    """Proportional share of memory of some processes, in MiB: shared pages count once."""
    size = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            size += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return size / 1024
