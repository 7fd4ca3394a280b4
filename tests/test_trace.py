"""What the daemon does while it shows everybody's stacks, as strace sees it: it reads."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import DEADLINE, Limit
from tests.mounting import Mount

# Whatever stops, signals, attaches to, or writes into a process.
FORBIDDEN = {
    "ptrace",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "pidfd_getfd",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "bpf",
    "kcmp",
    "move_pages",
    "migrate_pages",
    "sched_setaffinity",
    "process_mrelease",
}
# Whatever changes how a process is treated, and which: 0 is who calls it, as a worker that lowers
# its own weight does. Another word than a number is a group, or all processes of a user.
_WHOM = re.compile(r"(\w+)")
CHANGES = {
    "prlimit64": re.compile(r"(\w+), \w+, (?!NULL)"),
    "setpriority": re.compile(r"(?:PRIO_PROCESS, )?(\w+)"),
    "ioprio_set": re.compile(r"(?:IOPRIO_WHO_PROCESS, )?(\w+)"),
    **dict.fromkeys(("sched_setscheduler", "sched_setparam", "sched_setattr"), _WHOM),
}
CALL = re.compile(r"^\d+ +(\w+)\((.*)")


@pytest.fixture
def busy() -> Iterator[None]:
    """A process that never sleeps, so that a sample of it has to be taken."""
    with subprocess.Popen(
        [sys.executable, "-c", "import os; os.nice(19)\nwhile True: pass"]
    ) as program:
        yield
        program.kill()


def traced(mirror: Mount, log: Path) -> int:
    """How many bytes of stacks were read while strace followed the mirror."""
    followed = [option for pid in mirror.processes() for option in ("-p", str(pid))]
    with subprocess.Popen(
        ["strace", "-f", "--decode-fds=pidfd", "-o", str(log), *followed], stderr=subprocess.PIPE
    ) as strace:
        try:
            limit = Limit(DEADLINE)
            while not log.exists() or "epoll_wait" not in log.read_text(errors="replace"):
                assert limit.left() > 0
                (mirror.path / "1").exists()
                time.sleep(0.05)
            read = 0
            for directory in mirror.path.glob("[0-9]*"):
                for view in ("stack.txt", "syscall.json"):
                    with contextlib.suppress(OSError):
                        read += len((directory / view).read_bytes())
        finally:
            strace.terminate()
    return read


@pytest.mark.usefixtures("busy")
def test_stacks_of_all_processes_are_read_and_nothing_else_is_done_to_them(
    mirror: Mount, tmp_path: Path
) -> None:
    log = tmp_path / "trace"
    assert traced(mirror, log) > 10_000
    calls = [
        (found[1], found[2])
        for line in log.read_text(errors="replace").splitlines()
        if (found := CALL.match(line))
    ]
    names = {name for name, _ in calls}
    assert {"openat", "pread64", "readlinkat"} <= names
    assert names & FORBIDDEN == set()
    # The only processes that are signalled are the daemon's own, which strace follows.
    own = set(re.findall(r"^\d+", log.read_text(errors="replace"), re.MULTILINE))
    signalled = [arguments for name, arguments in calls if name == "pidfd_send_signal"]
    assert set(re.findall(r"<pid:(\d+)>", "\n".join(signalled))) <= own
    # strace names no process for a descriptor whose process is no more.
    assert not [one for one in signalled if "<pid:" not in one and one.endswith(" = 0")]
    changed = [
        found[1]
        for name, arguments in calls
        if name in CHANGES and (found := CHANGES[name].match(arguments))
    ]
    assert set(changed) <= own | {"0"}
    # A running thread is sampled by its own clock, and by nothing else.
    events = [arguments for name, arguments in calls if name == "perf_event_open"]
    decoded = [one for one in events if one.startswith("{")]
    assert decoded
    assert all("PERF_COUNT_SW_TASK_CLOCK" in one for one in decoded), decoded
    written = [
        arguments
        for name, arguments in calls
        if name == "openat" and re.search(r"O_WRONLY|O_RDWR", arguments)
    ]
    # A worker that starts meanwhile has the kernel end it before others, by a file of its own.
    own_files = re.compile(r'\d+, "self/oom_score_adj"|AT_FDCWD, "/dev/null"')
    assert [one for one in written if not own_files.match(one)] == []
