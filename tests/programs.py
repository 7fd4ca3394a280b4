"""Real programs as a user runs them.

By root or somebody else, each with a deadline, in the plain locale.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.harness import DEADLINE, ROOT, Limit, ended, parent_of, rests, until

PROCMIRROR = (sys.executable, "-m", "procmirror")
# Everything that follows the script sees the mirror in $0 as /proc, and nobody else does.
OVER_PROC = (
    "unshare",
    "-m",
    "--propagation",
    "private",
    "sh",
    "-c",
    'mount --bind "$0" /proc && exec "$@"',
)

# The same with one process of the mirror alone, $1, besides the program itself.
_BIND_ONE = (
    'mount -t tmpfs none "$2" && mkdir "$2/self" "$2/$1" && mount --bind /proc/self "$2/self" && '
    'mount --bind "$0/$1" "$2/$1" && mount --move "$2" /proc && shift 2 && exec "$@"'
)
_OVER_ONE = (*OVER_PROC[:-1], _BIND_ONE)


class Ran(NamedTuple):
    """How a program ended and what it wrote."""

    code: int
    out: str
    err: str

    def on(self, mirror: Path | str) -> Ran:
        """The same, had the mirror been /proc."""
        return Ran(
            self.code,
            self.out.replace(str(mirror), "/proc"),
            self.err.replace(str(mirror), "/proc"),
        )


def environment(**more: str) -> dict[str, str]:
    """What programs are started with."""
    return os.environ | {"LC_ALL": "C.UTF-8", "TERM": "xterm", "COLUMNS": "200"} | more


def started(
    *command: Any, user: int | None = None, env: dict[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """A program that runs, as a user with no other group than his own."""
    identity: dict[str, Any] = (
        {} if user is None else {"user": user, "group": user, "extra_groups": []}
    )
    return subprocess.Popen(
        list(map(str, command)),
        env=env or environment(),
        cwd=ROOT,
        text=True,
        **identity,
        **options,
    )


def ran(*command: Any, user: int | None = None, deadline: float = DEADLINE, **options: Any) -> Ran:
    """A program that has ended.

    One that has not in time is killed and never waited for, as it may not be killable. A loaded
    machine gives it longer.
    """
    pipe = subprocess.PIPE
    program = started(
        *command,
        user=user,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        errors="replace",
        **options,
    )
    said = _said(program, Limit(deadline))
    if said is None:
        program.kill()
        raise AssertionError(f"{command} did not end in {deadline:.0f} s, longer by the load")
    return Ran(program.returncode, *said)


def _said(program: subprocess.Popen[str], limit: Limit) -> tuple[str, str] | None:
    """What a program has written to its streams; None if it does not end in time."""
    while (left := limit.left()) > 0:
        with suppress(subprocess.TimeoutExpired):
            return program.communicate(timeout=left)
    return None


def shell(script: str, *arguments: Any, user: int | None = None, deadline: float = DEADLINE) -> Ran:
    """A script of sh(1) with $1, $2, …."""
    return ran("sh", "-c", script, "sh", *arguments, user=user, deadline=deadline)


def over_proc(mirror: Path, *command: Any, deadline: float = DEADLINE) -> Ran:
    """A program that finds the mirror at /proc."""
    return ran(*OVER_PROC, mirror, *command, deadline=deadline)


def over_one(mirror: Path, pid: int, *command: Any) -> Ran:
    """A program that finds at /proc itself and one process of the mirror.

    Some tools give up at the name of a process that others run.
    """
    with TemporaryDirectory() as place:
        return ran(*_OVER_ONE, mirror, pid, place, *command)


@contextmanager
def running(
    *command: Any, user: int | None = None, name: str = "", **options: Any
) -> Iterator[int]:
    """The pid of a program that runs until the end; sleep(1) is asleep.

    `name` is what it becomes, if that is another program.
    """
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    } | options
    program = started(*command, user=user, **quiet)
    name = name or os.path.basename(str(command[0]))[:15]
    try:
        until(
            lambda: Path(f"/proc/{program.pid}/comm").read_text().strip() == name,
            f"{command} does not start",
        )
        if name == "sleep":
            until(lambda: rests(program.pid), f"{command} does not sleep")
        yield program.pid
    finally:
        program.kill()
        program.wait(DEADLINE)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on the port, asked without connecting."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(
        line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines
    )


def children(pid: int) -> Sequence[int]:
    """The processes that are a process's children."""
    with suppress(OSError):
        lists = [one.read_text() for one in Path(f"/proc/{pid}/task").glob("*/children")]
        return [int(child) for one in lists for child in one.split()]
    return []


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        found += children(one)
    return found


def serving(place: Path) -> list[int]:
    """The daemons of a place.

    Of the processes with its command those that none of the others has started.
    """
    command = [*map(os.fsencode, PROCMIRROR), bytes(place)]
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.joinpath("cmdline").read_bytes().split(b"\0")[:-1] == command and not ended(
                int(process.name)
            ):
                parents[int(process.name)] = parent_of(int(process.name))
    return [pid for pid, parent in parents.items() if parent not in parents]


def killed(*pids: int, by: int = signal.SIGKILL) -> None:
    """Signal those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, by)
