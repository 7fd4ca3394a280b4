"""The view when parts may not be read, when threads end, and when time runs out."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack.target import MappedFile
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.views.pid import stack
from tests.fixtures import MACHINES, Folder
from tests.harness import state_of, until
from tests.live_target import LiveTarget
from tests.stack.targets import available, compiled, running, seen

STATUS = (
    b"Name:\tcat\nState:\tS (sleeping)\nTgid:\t7\nPid:\t7\nUid:\t0\t0\t0\t0\n"
    b"voluntary_ctxt_switches:\t1\nnonvoluntary_ctxt_switches:\t2\n"
)
FILES = {
    "status": STATUS,
    "comm": b"cat\n",
    "schedstat": b"1 2 3\n",
    "syscall": b"0 0x0 0x1 0x2 0x3 0x4 0x5 0x7ffc007fff00 0x555500401000\n",
    "stack": b"[<0>] anon_pipe_read+0x1/0x2\n",
    "maps": b"555500401000-555500402000 r-xp 00000000 00:01 5 /bin/cat\n"
    b"7ffc007f0000-7ffc00800000 rw-p 00000000 00:00 0 [stack]\n",
    "wchan": b"anon_pipe_read",
}


class Partly(Folder):
    """A thread's directory in memory.

    A number in the place of a content is the errno of reading it.
    """

    def __init__(self, changed: Mapping[str, bytes | int]) -> None:
        super().__init__(Path("/nonexistent"))
        self.files: dict[str, bytes | int] = {**FILES, **changed}

    def read(self, path: str) -> bytes:
        content = self.files[path]
        if isinstance(content, int):
            raise OSError(content, os.strerror(content))
        return content

    def part(self, path: str, offset: int, size: int) -> bytes:
        denied = self.files.get(path)
        if isinstance(denied, int):
            raise OSError(denied, os.strerror(denied))
        return bytes(min(size, 256)) if size and offset else b""

    def names(self, path: str) -> list[str]:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)


def one(**changed: bytes | int) -> ThreadStack:
    (thread,) = stack.join(Partly(changed), Machine()).threads
    return thread


def state(thread: ThreadStack) -> str | None:
    return thread.syscall.state if thread.syscall else None


def test_everything_may_be_read() -> None:
    thread = one()
    assert thread.syscall
    assert (thread.syscall.name, thread.syscall.notes) == ("read", [])
    assert [frame.symbol for frame in thread.kernel or ()] == ["anon_pipe_read"]
    assert [frame.pc for frame in thread.user or ()] == ["0x555500401000"]
    assert (thread.complete, thread.reason, thread.waits_for) == (
        False,
        "the file of this code may not be read",
        "data in a pipe",
    )


def test_without_the_kernels_frames() -> None:
    thread = one(stack=errno.EACCES)
    assert thread.kernel is None
    assert [frame.pc for frame in thread.user or ()] == ["0x555500401000"]
    assert thread.waits_for == "data in a pipe"
    assert "    (not permitted)\n" in "".join(stack.text(Stacks(7, 0, [thread]), Machine()))


def test_without_memory() -> None:
    thread = one(mem=errno.EACCES)
    assert thread.kernel and thread.syscall
    assert (thread.user, thread.reason) == (None, "not permitted")


def test_without_mappings() -> None:
    thread = one(maps=errno.EACCES)
    assert thread.kernel and thread.syscall
    assert (thread.user, thread.reason) == (None, "not permitted")


def test_with_the_kernels_frames_only() -> None:
    thread = one(syscall=errno.EPERM, mem=errno.EACCES, maps=errno.EACCES)
    assert thread.kernel
    assert (thread.syscall, thread.user, thread.reason) == (None, None, "not permitted")


@pytest.mark.parametrize(
    "line", [b"", b"walking\n", b"0 0x1 0x2 0x3\n", b"0 1 2\n", b"99999999999 0x1 0x2\n"]
)
def test_another_line_of_syscall_takes_nothing_else(line: bytes) -> None:
    thread = one(syscall=line)
    assert [frame.symbol for frame in thread.kernel or ()] == ["anon_pipe_read"]
    assert (thread.syscall, thread.user) == (None, None)
    assert [(part.part, part.reason) for part in thread.incomplete] == [("syscall", "EILSEQ")]


def test_memory_alone_opens_the_view() -> None:
    thread = one(stack=errno.EPERM, syscall=errno.EPERM)
    assert (thread.kernel, thread.syscall, thread.user) == (None, None, None)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOENT])
def test_with_no_part_the_errno_is_that_of_stack(number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)):
        one(stack=number, syscall=errno.ESRCH, mem=errno.EIO)


def test_a_thread_that_has_ended() -> None:
    with pytest.raises(FileNotFoundError):
        one(status=errno.ENOENT)


def test_a_thread_that_ends_while_the_others_are_read() -> None:
    class Ending(Folder):
        def read(self, path: str) -> bytes:
            if path in {"task/1503/syscall", "task/1503/stack"}:
                raise ProcessLookupError(errno.ESRCH, "No such process")
            return super().read(path)

    threads = stack.join(Ending(MACHINES / "bookworm" / "1502"), Machine()).threads
    assert [thread.tid for thread in threads] == [1502]


def test_a_running_thread() -> None:
    thread = one(syscall=b"running\n", status=STATUS.replace(b"S (sleeping)", b"R (running)"))
    assert (state(thread), thread.user, thread.reason, thread.waits_for) == (
        "running",
        [],
        "running",
        None,
    )


def test_zeros_are_no_system_call() -> None:
    for line in (b"0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", b"-1 0x0 0x0\n"):
        thread = one(syscall=line, maps=b"")
        assert (state(thread), thread.user) == ("no user context", [])


def test_a_thread_interrupted_in_its_own_code() -> None:
    thread = one(syscall=b"-1 0x7ffc007fff00 0x555500401010\n")
    assert (state(thread), [frame.pc for frame in thread.user or ()]) == (
        "user code",
        ["0x555500401010"],
    )


def test_without_scheduler_statistics_the_switches_count() -> None:
    assert one(schedstat=b"0 0 0\n").reason == "the file of this code may not be read"
    assert one(schedstat=errno.ENOENT).reason == "the file of this code may not be read"


class Restless(Partly):
    """A thread that runs between any two looks at it."""

    looks = 0

    def read(self, path: str) -> bytes:
        if path == "schedstat":
            self.looks += 1
            return b"1 2 %d\n" % self.looks
        return super().read(path)


def test_a_thread_that_never_rests_has_its_innermost_frame_only() -> None:
    restless = Restless({})
    (thread,) = stack.join(restless, Machine()).threads
    assert restless.looks >= 6
    assert thread.syscall
    assert thread.syscall.notes == ["the thread ran while it was read"]
    assert [frame.pc for frame in thread.user or ()] == ["0x555500401000"]
    assert (thread.complete, thread.reason) == (False, "the thread ran while it was read")


def test_a_name_cannot_forge_a_line() -> None:
    (text,) = stack.text(Stacks(7, 0, [one(comm=b"a\nb\x1b[31m\n")]), Machine())
    assert text.startswith("a\\nb\\x1b[31m  7  S (sleeping)")


class Slow(LiveTarget):
    """A target whose clock says that each look takes half a second."""

    now = 0.0

    def clock(self) -> float:
        self.now += 0.5
        return self.now


@pytest.mark.root
def test_after_two_seconds_the_rest_has_kernel_frames(tmp_path: Path) -> None:
    with running(compiled("threads.cpp", tmp_path, "-O2"), "1", threads=7) as pid:
        threads = stack.join(Slow(f"/proc/{pid}"), Machine()).threads
    assert len(threads) == 7
    assert all(thread.kernel for thread in threads)
    assert {thread.reason for thread in threads[1:]} == {"time"}


def test_the_captured_process_agrees_with_its_thread() -> None:
    folder = MACHINES / "bookworm" / "1500"
    process = stack.join(Folder(folder), Machine())
    assert process == stack.join(Folder(folder / "task" / "1500"), Machine())


class Counting(LiveTarget):
    """Remembers which files of the kernel were asked for and which files behind memory."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.asked: list[str] = []

    def system(self, path: str, most: int | None = None) -> bytes:
        self.asked.append(path)
        return super().system(path, most)

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        self.asked.append(path.decode())
        return super().mapped(start, end, path, device, inode)


def test_only_files_with_frames_are_opened_and_kallsyms_is_not() -> None:
    with running(available("perl"), "-e", "sleep 1000") as pid:
        counting = Counting(f"/proc/{pid}")
        (thread,) = stack.join(counting, Machine()).threads
    assert thread.complete
    assert sorted(counting.asked) == sorted({frame.module or "" for frame in thread.user or ()})


def test_nothing_is_stopped_signalled_or_attached_to(tmp_path: Path) -> None:
    program = (
        "import sys; from tests.stack.targets import *\n"
        "for pid in sys.argv[1:]: assert all(thread.user for thread in seen(int(pid)).values())"
    )
    trace = tmp_path / "trace"
    with (
        running(available("sleep"), "1000") as one_,
        running(compiled("threads.cpp", tmp_path, "-O2"), "1", threads=7) as two,
    ):
        command = [
            "strace",
            "-f",
            "-o",
            str(trace),
            sys.executable,
            "-c",
            program,
            str(one_),
            str(two),
        ]
        subprocess.run(command, check=True, cwd=Path(__file__).parent.parent.parent)
    calls = {
        line.split(None, 1)[1].partition("(")[0]
        for line in trace.read_text(errors="replace").splitlines()
    }
    assert {"openat", "pread64", "openat2"} & calls >= {"openat", "pread64"}
    forbidden = {
        "ptrace",
        "kill",
        "tgkill",
        "tkill",
        "pidfd_send_signal",
        "pidfd_open",
        "perf_event_open",
        "bpf",
        "kcmp",
    }
    assert not calls & (
        forbidden
        | {
            "process_vm_readv",
            "process_vm_writev",
            "process_madvise",
            "rt_sigqueueinfo",
            "rt_tgsigqueueinfo",
        }
    )


def test_a_stopped_process_is_shown_and_stays_stopped() -> None:
    with running(available("sleep"), "1000") as pid:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: state_of(pid) == "T", "it does not stop")
        (thread,) = seen(pid).values()
        assert thread.state == "T (stopped)" and thread.complete
        assert (thread.waits_for or "").startswith("SIGCONT")
        assert b"T (stopped)" in Path(f"/proc/{pid}/status").read_bytes()
