"""Whom or what a blocked thread waits for, as the first line of its stack says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.kernel.waits import reason
from procmirror.stack.caller import Caller
from procmirror.stack.headline import MOST_CHILDREN, MOST_FRAMES, headline
from procmirror.stack.syscalls import SystemCall
from procmirror.stack.time_left import Clocks
from procmirror.views.pid import stack
from tests.harness import until
from tests.live_target import LiveTarget
from tests.stack.targets import asleep, compiled, running, seen


def test_the_locks_of_a_program_and_who_holds_them(tmp_path: Path) -> None:
    program = compiled("waits.c", tmp_path, "-O1")
    with running("sh", "-c", f"cd {tmp_path}; exec {program}", threads=10) as pid:

        def told() -> dict[str, str] | None:
            """What each thread waits for; None where the kernel left a lock out.

            It does while locks of other programs come and go as they are listed.
            """
            waits = {str(one.comm): one.waits_for or "" for one in seen(pid).values()}
            return waits if "held by" in waits["lock"] else None

        found = until(told)
        assert re.fullmatch(r"a timer descriptor to expire, in \d{3}\.\d s", found.pop("timer"))
        main = f"thread {pid} ({Path(program).name[:15]})"
        # Exported functions alone do not show these where glibc lets them end in inner ones.
        futex = "a futex (a lock, condition or thread of its program)"
        joined = f"{futex}, looks like pthread_join of {main}"
        if (found["sem"], found["join"]) == (futex, joined):
            found |= {"sem": "a semaphore", "join": f"the end of a thread: {main}"}
        assert found == {
            Path(program).name[:15]: "a signal",
            "mutex": f"a mutex held by {main}",
            "cond": "a condition variable",
            "reader": f"a read-write lock held by {main}",
            "writer": f"a read-write lock held by {main}",
            "sem": "a semaphore",
            "barrier": "a barrier",
            "join": f"the end of a thread: {main}",
            "lock": f"a file lock held by process {pid} ({Path(program).name[:15]})",
        }


# Starts children, and waits for one of them or for any.
CHILDREN = """import os, sys, time
started = []
for _ in range(5):
    started.append(os.fork())
    if not started[-1]:
        time.sleep(600)
pid = started[2]
if sys.argv[1] == "pidfd":
    os.waitid(os.P_PIDFD, os.pidfd_open(pid), os.WEXITED)
os.waitpid(pid if sys.argv[1] == "one" else -1, 0)"""


@pytest.mark.parametrize("way", ["one", "pidfd", "any"])
def test_the_children_that_are_waited_for(way: str) -> None:
    with running(sys.executable, "-c", CHILDREN, way) as pid:
        told = seen(pid)[pid].waits_for
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        names = [f"{one} ({Path(f'/proc/{one}/comm').read_text().strip()})" for one in children]
    several = f"processes {', '.join(names[:3])}, 2 more"
    assert told == f"a child process: {several if way == 'any' else f'process {names[2]}'}"


MANY_CHILDREN = """import ctypes, os, time
for number in range(70):
    if not os.fork():
        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
        ctypes.CDLL(None).prctl(15, b"x), 1 (systemd", 0, 0, 0)
        time.sleep(600)
os.waitpid(-1, 0)"""


def test_no_name_makes_two_children_of_one_and_all_are_counted() -> None:
    with running(sys.executable, "-c", MANY_CHILDREN) as pid:
        until(
            lambda: (seen(pid)[pid].waits_for or "").count("systemd") == MOST_CHILDREN,
            "the children have no names",
        )
        told = seen(pid)[pid].waits_for
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    named = ", ".join(f"{child} (x),\\x201 (systemd)" for child in children[:3])
    assert told == f"a child process: processes {named}, 67 more"


def test_the_condition_variables_of_cpp(tmp_path: Path) -> None:
    with running(compiled("threads.cpp", tmp_path, "-O2"), "2", threads=13) as pid:
        found = {thread.waits_for for thread in seen(pid).values()}
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    # std::condition_variable::wait jumps on to pthread_cond_wait and leaves no frame.
    assert "a condition variable" in found
    assert any((one or "").startswith(f"a mutex held by thread {pid} ({name}") for one in found)
    assert any("std::thread::join): thread" in (one or "") for one in found)


def test_the_locks_of_python() -> None:
    script = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
    with running(sys.executable, "-c", script) as pid:
        (thread,) = seen(pid).values()
    assert thread.waits_for in {"a lock of Python", "a lock or event of Python"}


def test_the_process_of_a_pidfd() -> None:
    script = "import os, select, sys; select.select([os.pidfd_open(int(sys.argv[1]))], [], [])"
    with (
        running("sleep", "1000") as other,
        running(sys.executable, "-c", script, str(other)) as pid,
    ):
        (thread,) = seen(pid).values()
    assert thread.syscall
    assert thread.syscall.notes == [f"read of 3<process {other} (sleep)>"]


def test_a_server_of_unix_sockets_waits_for_a_connection(tmp_path: Path) -> None:
    script = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]);"
        "s.listen(); s.accept()"
    )
    python = sys.executable
    with subprocess.Popen([python, "-c", script, str(tmp_path / "s")]) as process:
        try:
            asleep(process.pid)
            (thread,) = seen(process.pid).values()
        finally:
            process.kill()
    assert thread.waits_for == "a connection to accept"


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (["__skb_wait_for_more_packets", "unix_accept"], "a connection to accept"),
        (["__skb_wait_for_more_packets", "__unix_dgram_recvmsg"], "data on a socket"),
        (["recv_wait_event", "seccomp_notify_ioctl"], "a notification of seccomp"),
        (["d_alloc_parallel", "__lookup_slow"], "another lookup of the same name"),
    ],
)
def test_the_innermost_function_is_not_always_the_telling_one(
    frames: list[str], words: str
) -> None:
    assert reason(frames) == words


def test_a_function_far_away_does_not_tell() -> None:
    target = LiveTarget("/proc/self")
    call = SystemCall("system call", "x86_64", 202, "futex", [], [], "1", "1")

    def told(functions: list[str]) -> str | None:
        caller = Caller(target, Machine())
        return headline("a futex (x)", call, functions, caller, Clocks(target, caller))

    assert told(["pthread_cond_wait"]) == "a condition variable"
    rust = ["syscall", "<std::sys::sync::condvar::futex::Condvar>::wait"]
    assert told(rust) == "a condition variable (Rust)"
    worker = "<tokio::runtime::scheduler::multi_thread::worker::Context>::park_internal"
    assert told(["syscall", worker]) == "work (an idle thread of tokio)"
    for park in ("std::thread::functions::park", "std::thread::park"):
        assert told(["syscall", park]) == "to be unparked (Rust)"
    assert told(["syscall", "<std::sync::barrier::Barrier>::wait"]) == "a barrier (Rust)"
    locked = ["runtime.futex", "runtime.notesleep", "runtime.stoplockedm"]
    assert told(locked) == "the turn of its goroutine (LockOSThread of Go)"
    channel = "<std::sync::mpmc::list::Channel<x::Request>>::recv::{closure#1}"
    assert told(["syscall", channel]) == "a message of a channel (Rust)"
    assert told(["f"] * MOST_FRAMES + ["pthread_cond_wait"]) == "a futex (x)"
    assert told(["evil_pthread_cond_wait_\x1b"]) == "a futex (x)"


class Unprivileged(LiveTarget):
    """A requester that may not read the frames in the kernel."""

    def read(self, path: str) -> bytes:
        if path.endswith("/stack"):
            raise PermissionError(1, "Operation not permitted", path)
        return super().read(path)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("s = socket.socket(socket.AF_UNIX); s.bind(''); s.listen(); s.accept()", r".*to accept"),
        ("os.read(os.eventfd(0), 8)", r"an eventfd to be signalled"),
        ("os.read(os.openpty()[1], 8)", r"input from a terminal"),
        # From Python 3.14 on locks and events wait alike.
        ("threading.Semaphore(0).acquire()", r"a lock (?:or event )?of Python"),
        ("select.select([os.pipe()[0]], [], [])", r".*\(select\): 3<pipe:.*"),
        ("p = select.poll(); p.register(os.pipe()[0]); p.poll()", r".*\(poll\): 3<pipe:.*"),
    ],
)
def test_what_ordinary_users_are_told_by_the_call(script: str, words: str) -> None:
    imports = "import os, select, socket, threading; "
    with running(sys.executable, "-c", imports + script) as pid:
        asleep(pid)
        (thread,) = stack.join(Unprivileged(f"/proc/{pid}"), Machine()).threads
    assert thread.kernel is None and re.fullmatch(words, thread.waits_for or "")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        # Since Python 3.11 sleep() waits for a time, not for a duration.
        ("time.sleep(300)", "the end of its sleep, in"),
        ("lock.acquire(timeout=300)", r"a lock (?:or event )?of Python, at most"),
    ],
)
def test_the_time_that_is_left(script: str, words: str) -> None:
    before = "import threading, time; lock = threading.Lock(); lock.acquire(); "
    with running(sys.executable, "-c", before + script) as pid:
        (thread,) = seen(pid).values()
    assert re.fullmatch(words + r" (?:2\d\d|300)\.\d s", thread.waits_for or "")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("signal.sigwait({10, 12})", "a signal: {SIGUSR1, SIGUSR2}"),
        (
            "os.read(ctypes.CDLL(None).signalfd(-1, (ctypes.c_long * 16)(1 << 16), 0), 128)",
            "a signal (signalfd): {SIGCHLD}",
        ),
    ],
)
def test_the_signals_that_are_waited_for(script: str, words: str) -> None:
    with running(sys.executable, "-c", f"import ctypes, os, signal; {script}") as pid:
        (thread,) = seen(pid).values()
    assert thread.waits_for == words


def test_no_time_is_left_by_a_clock_that_is_not_known() -> None:
    with running(sys.executable, "-c", "import time; time.sleep(300)") as pid:
        asleep(pid)
        (thread,) = stack.join(Elsewhere(f"/proc/{pid}"), Machine()).threads
    assert thread.waits_for == "the end of its sleep"


class Elsewhere(LiveTarget):
    """A process that has made a time namespace for its children."""

    def link(self, path: str) -> str:
        return "time:[7]" if path.endswith("ns/time_for_children") else super().link(path)
