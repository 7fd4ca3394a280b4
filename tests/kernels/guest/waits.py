"""What sleeping programs wait for: kernel frames and system call, compared with the kernel's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.kernels.findings import Findings
from tests.mounting import mounted

_SOCKET = "import socket; s = socket.create_server(('127.0.0.1', 0)); s.accept()"
_LOCK = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
_WAIT = "import subprocess; subprocess.run(['sleep', '1000'])"
# Programs, and the system calls of which they may be in one.
PROGRAMS: dict[str, tuple[list[str], set[str]]] = {
    "sleep": (["sleep", "1000"], {"clock_nanosleep", "nanosleep"}),
    "cat": (["cat"], {"read"}),
    "accept": ([sys.executable, "-c", _SOCKET], {"accept4", "accept"}),
    "lock": ([sys.executable, "-c", _LOCK], {"futex"}),
    "wait": ([sys.executable, "-c", _WAIT], {"wait4", "waitid"}),
}
_DEADLINE = 120.0


def examined(findings: Findings) -> None:
    """Look at each program once it sleeps."""
    with mounted(quiet=False) as mount:
        for name, (command, calls) in PROGRAMS.items():
            with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
                try:
                    _sleeping(process.pid, calls, mount.path)
                    _compare(findings, name, process.pid, calls, mount.path)
                finally:
                    process.kill()


def _sleeping(pid: int, calls: set[str], mirror: Path) -> None:
    """Wait until a process is in one of the calls."""
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        told = json.loads((mirror / f"{pid}/syscall.json").read_bytes())
        if told.get("name") in calls:
            return
        time.sleep(1)


def _compare(findings: Findings, name: str, pid: int, calls: set[str], mirror: Path) -> None:
    native = Path(f"/proc/{pid}/stack").read_text().splitlines()
    (thread, *_) = json.loads((mirror / f"{pid}/stack.json").read_bytes())["threads"]
    frames = [frame["symbol"] for frame in thread["kernel"] or []]
    theirs = [line.split()[1].partition("+")[0] for line in native]
    call = (thread["syscall"] or {}).get("name")
    findings.count += 1
    if frames != [symbol for symbol in theirs if symbol in frames] or not frames:
        findings.fail(f"{name}: kernel frames {frames}, not {theirs}")
    if call not in calls:
        findings.fail(f"{name}: system call {call}")
    user = [frame.get("symbol") for frame in thread["user"] or []]
    findings.remarks.append(
        f"{name}: {call}, {len(frames)} kernel frames, {len(user)} user frames; "
        f"{thread['waits_for']}"
    )
