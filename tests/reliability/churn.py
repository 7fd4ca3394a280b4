"""Processes that come and go by the hundred a second under few numbers, and readers who see that none is taken for another.

As a program: `python -m tests.reliability.churn make SECONDS` or `… watch MOUNT SECONDS USER`; both
answer in JSON.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.harness import ROOT, stat_fields

NUMBERS = 400
_TICKS = os.sysconf("SC_CLK_TCK")
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
# What a process that ended meanwhile, or is another user's, makes of an operation.
_EXPECTED = {errno.ENOENT, errno.ESRCH, errno.EACCES, errno.EPERM}


def begin(role: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start one of the two programs."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.churn", role, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )


def result(program: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """What it says in the end."""
    try:
        said, _ = program.communicate(timeout=seconds)
    finally:
        program.kill()
    answer: dict[str, Any] = json.loads(said)
    return answer


def _make(seconds: float) -> dict[str, Any]:
    """Few numbers for many processes: the counter is set back after every NUMBERS."""
    chance = random.Random(1)
    first = int(_LAST_PID.read_text(encoding="ascii"))
    made, running = 0, 0
    seen: set[int] = set()
    reused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if made % NUMBERS == 0:
            with contextlib.suppress(OSError):
                _LAST_PID.write_text(str(first), encoding="ascii")
        pid = os.fork()
        if pid == 0:
            select.select([], [], [], chance.random() * 0.05)
            os._exit(0)
        made, running = made + 1, running + 1
        reused += pid in seen
        seen.add(pid)
        while running > 40 or (running and os.waitpid(-1, os.WNOHANG)[0]):
            if running > 40:
                os.waitpid(-1, 0)
            running -= 1
    while running:
        os.waitpid(-1, 0)
        running -= 1
    return {"made": made, "reused": reused}


def _read(directory: int, name: str) -> bytes:
    file = os.open(name, os.O_RDONLY, dir_fd=directory)
    try:
        content = b""
        while piece := os.read(file, 1 << 17):
            content += piece
        return content
    finally:
        os.close(file)


def _identities(directory: int, name: str) -> tuple[int, float | None]:
    """Pid and start time in seconds as one file says; a status has no start time."""
    raw = _read(directory, name)
    if name == "stat":
        return int(raw.split()[0]), int(stat_fields(raw)[19]) / _TICKS
    record = json.loads(raw)
    if name == "stat.json":
        return record["pid"], record["starttime"]
    if name == "status.json":
        return record["Pid"], None
    assert record["pid"] == record["stat"]["pid"] == record["status"]["Pid"]
    return record["pid"], record["stat"]["starttime"]


def _examine(mount: str, pid: str, mistakes: list[str]) -> int:
    """Through one held directory it must always be the process that it was, or none.

    The answers that were checked.
    """
    start = None
    checked = 0
    directory = os.open(f"{mount}/{pid}", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in ("stat.json", "status.json", "stat", "process.json", "stat.json"):
            said, begun = _identities(directory, name)
            if said != int(pid):
                mistakes.append(f"{pid}/{name} is of {said}")
            if begun is not None and start not in {None, begun}:
                mistakes.append(f"{pid}/{name} began at {begun}, before at {start}")
            start = begun or start
            checked += 1
        os.listdir(directory)
    except OSError as gone:
        if gone.errno not in _EXPECTED:
            mistakes.append(f"{pid}: {gone}")
    finally:
        os.close(directory)
    return checked


def _watch(mount: str, seconds: float, user: int) -> dict[str, Any]:
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    mistakes: list[str] = []
    checked = rounds = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(mistakes) < 20:
        pids = [name for name in os.listdir(mount) if name.isdigit()]
        rounds += 1
        for pid in sorted(pids, key=int)[-60:]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                checked += _examine(mount, pid, mistakes)
        if rounds % 5 == 0:
            directory = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
            for line in _read(directory, "processes.ndjson").splitlines():
                record = json.loads(line)
                if record["stat"]["pid"] != record["pid"]:
                    mistakes.append(f"processes.ndjson: {record['pid']}")
            os.close(directory)
    return {"mistakes": mistakes, "checked": checked, "rounds": rounds}


def _main() -> None:
    role, *arguments = sys.argv[1:]
    said = (
        _make(float(arguments[0]))
        if role == "make"
        else _watch(arguments[0], float(arguments[1]), int(arguments[2]))
    )
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    _main()
