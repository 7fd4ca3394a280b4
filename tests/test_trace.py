"""What the daemon does while it shows everybody's stacks, as strace sees it: it reads."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from pathlib import Path

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
}
CALL = re.compile(r"^\d+ +(\w+)\((.*)")


def test_stacks_of_all_processes_are_read_and_nothing_else_is_done_to_them(
    mirror: Mount, tmp_path: Path
) -> None:
    log = tmp_path / "trace"
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
    calls = [
        (found[1], found[2])
        for line in log.read_text(errors="replace").splitlines()
        if (found := CALL.match(line))
    ]
    names = {name for name, _ in calls}
    assert read > 10_000
    assert {"openat", "pread64", "readlinkat"} <= names
    assert names & FORBIDDEN == set()
    # The only processes that are signalled are the daemon's own, which strace follows.
    own = set(re.findall(r"^\d+", log.read_text(errors="replace"), re.MULTILINE))
    signalled = [arguments for name, arguments in calls if name == "pidfd_send_signal"]
    assert set(re.findall(r"<pid:(\d+)>", "\n".join(signalled))) <= own
    # strace names no process for a descriptor whose process is no more.
    assert not [one for one in signalled if "<pid:" not in one and one.endswith(" = 0")]
    # A running thread is sampled by its own clock, and by nothing else.
    events = [arguments for name, arguments in calls if name == "perf_event_open"]
    decoded = [one for one in events if one.startswith("{")]
    assert all("PERF_COUNT_SW_TASK_CLOCK" in one for one in decoded), decoded
    written = [
        arguments
        for name, arguments in calls
        if name == "openat" and re.search(r"O_WRONLY|O_RDWR", arguments)
    ]
    # A worker that starts meanwhile has the kernel end it before others, by a file of its own.
    own_files = re.compile(r'\d+, "self/oom_score_adj"|AT_FDCWD, "/dev/null"')
    assert [one for one in written if not own_files.match(one)] == []
