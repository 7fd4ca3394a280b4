"""Processes that the tests compile and start, and the frames that eu-stack finds in them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from procmirror.decoding.view import Machine
from procmirror.stack.thread_stack import ThreadStack
from procmirror.stack.threads import RAN
from procmirror.stack.user_side import UserFrame
from procmirror.views.pid import stack
from tests.harness import DEADLINE, Limit
from tests.live_target import LiveTarget

# Bytes by which a stop moves the program counter of a thread in a system call.
_BACK = {"aarch64": 4}
PROGRAMS = Path(__file__).parent / "programs"


def compiled(source: str, folder: Path, *flags: str, compiler: str = "") -> str:
    """The program of a source file, built with these flags."""
    program = folder / "-".join(
        [source.partition(".")[0] + compiler, *(flag.strip("-") for flag in flags)]
    ).replace("/", "_")
    compiler = compiler or ("g++" if source.endswith("cpp") else "gcc")
    command: list[str | Path] = [
        compiler,
        "-pthread",
        "-w",
        *flags,
        "-o",
        program,
        PROGRAMS / source,
    ]
    code = subprocess.run(command, check=False).returncode
    assert code == 0, "install gcc-multilib" if "-m32" in flags else f"{command} ended with {code}"
    return str(program)


def built_go(folder: Path, source: str = "blocked.go", *, cgo: bool = False) -> str:
    """A Go program, without C if it has none."""
    program = folder / source.removesuffix(".go")
    environment = {
        **os.environ,
        "GOCACHE": str(folder / "cache"),
        "CGO_ENABLED": str(int(cgo)),
        "GO111MODULE": "off",
    }
    subprocess.run(
        [available("go"), "build", "-o", program, PROGRAMS / source],
        check=True,
        env=environment,
    )
    return str(program)


@contextmanager
def started(*command: str) -> Iterator[int]:
    """The command, started with a pipe for its input.

    It is killed afterwards, with all that it started.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
        start_new_session=True,
    ) as process:
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def running(*command: str, threads: int = 1) -> Iterator[int]:
    """The command, started and asleep in all its threads."""
    with started(*command) as pid:
        asleep(pid, threads)
        yield pid


def asleep(pid: int, threads: int = 1) -> None:
    """Wait until all threads of a process sleep, and go on doing so."""
    before: list[bytes] = []
    limit = Limit(DEADLINE)
    while limit.left() > 0:
        time.sleep(0.05)
        tasks = [Path(f"/proc/{pid}/task/{tid}") for tid in os.listdir(f"/proc/{pid}/task")]
        now = [(task / "schedstat").read_bytes() for task in tasks]
        # What waits for a processor stands still as well.
        runs = any(b") R " in (task / "stat").read_bytes() for task in tasks)
        if now == before and len(now) >= threads and not runs:
            return
        before = now
    raise AssertionError(f"{pid} does not sleep")


def seen(pid: int) -> dict[int, ThreadStack]:
    """What the view says of each thread."""
    return {
        thread.tid: thread for thread in stack.join(LiveTarget(f"/proc/{pid}"), Machine()).threads
    }


def _enters_the_kernel(frame: UserFrame) -> bool:
    """Whether it may be a function of the library; generated code is of no file."""
    return bool(frame.module) and (frame.symbol is None or "syscall_cancel" in frame.symbol)


def named(thread: ThreadStack) -> list[str | None]:
    """The names of a thread's frames, as they are with a glibc before 2.41.

    Newer ones enter the kernel through functions of their own, for the cancellation of threads.
    These, and the caller of main, have no name where the library has its exported symbols only.
    """
    frames = thread.user or []
    version = (os.confstr("CS_GNU_LIBC_VERSION") or "").rpartition(" ")[2]
    if tuple(map(int, version.split("."))) < (2, 41):
        return [frame.symbol for frame in frames]
    inner = takewhile(_enters_the_kernel, frames)
    names = [frame.symbol for frame in frames[len(list(inner)) :]]
    callers = ["__libc_start_call_main" if name is None else name for name in names]
    return [*names[:-3], *callers[-3:]] if names[-1:] == ["_start"] else names


def eu_stack(pid: int) -> dict[int, list[int]]:
    """The program counters of each thread by eu-stack."""
    said = subprocess.run(
        ["eu-stack", "-n", "0", "-p", str(pid)], capture_output=True, text=True, check=False, env={}
    ).stdout
    found: dict[int, list[int]] = {}
    for line in said.splitlines():
        if head := re.match(r"TID (\d+):", line):
            frames = found.setdefault(int(head[1]), [])
        elif frame := re.match(r"#\d+ +(0x[0-9a-f]+)", line):
            frames.append(int(frame[1], 16))
    return found


def unstopped(theirs: list[int], ours: list[int]) -> list[int]:
    """The frames of a thread as before it was stopped.

    A stop takes a thread back to its system call, where that goes on after it.
    """
    moved = [at + _BACK.get(platform.machine(), 0) for at in theirs[:1]]
    return moved + theirs[1:] if moved == ours[:1] else theirs


def common(ours: list[int], theirs: list[int]) -> int:
    """How many frames are in both, in the same order."""
    row = [0] * (len(theirs) + 1)
    for mine in ours:
        before = 0
        for at, other in enumerate(theirs):
            here = row[at + 1]
            row[at + 1] = before + 1 if mine == other else max(row[at], here)
            before = here
    return row[-1]


def counters(pid: int) -> dict[int, list[int]] | None:
    """The program counters of each thread by the view; None while one of them runs."""
    threads = seen(pid)
    reasons = [thread.reason or "" for thread in threads.values()]
    if any(thread.sampled for thread in threads.values()) or any(map(_tells_of_running, reasons)):
        return None
    return {
        tid: [int(frame.pc, 16) for frame in thread.user or ()] for tid, thread in threads.items()
    }


def _tells_of_running(reason: str) -> bool:
    return reason == RAN or reason.startswith("running")


def compared(pid: int) -> tuple[int, int, int]:
    """Frames found of those of eu-stack, how many it finds, and how many of ours it does not know.

    A process that went on in between is compared again.
    """
    limit = Limit(DEADLINE)
    while limit.left() > 0:
        ours, theirs = counters(pid), eu_stack(pid)
        if ours is not None and ours == counters(pid):
            theirs = {tid: unstopped(one, ours.get(tid, [])) for tid, one in theirs.items()}
            found = sum(common(ours.get(tid, []), frames) for tid, frames in theirs.items())
            return found, sum(map(len, theirs.values())), sum(map(len, ours.values())) - found
        time.sleep(0.02)
    raise AssertionError(f"{pid} does not stay where it is")


def available(program: str) -> str:
    """The path of a program that the tests need to be installed."""
    path = shutil.which(program)
    assert path, f"install {program}"
    return path
