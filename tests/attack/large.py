"""Processes of which one thing is very large.

As a program: `python -m tests.attack.large KIND USER COUNT`. It makes COUNT processes and writes
their numbers. KIND is `programs` (the path of the program has 120 names and 4,000 bytes) or
`arguments` (six megabytes of them, all undecodable).
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

from tests.attack import users

_DEPTH, _NAME = 120, 31
ARGUMENT, ARGUMENTS = 131_000, 46


def _deep(folder: Path, number: int) -> None:
    """Stand in a directory of its own, deep below a folder."""
    os.chdir(folder)
    for depth in range(_DEPTH):
        name = f"{number:04}.{depth:03}.".ljust(_NAME, "x")
        os.mkdir(name)
        os.chdir(name)
    shutil.copy("/usr/bin/sleep", "program")


def lift_limits() -> None:
    """Let programs have as many arguments as the kernel takes: a quarter of the stack's limit."""
    infinity = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_STACK, infinity)


def run(file: str, *arguments: bytes) -> int:
    """Start a program without streams that ends with this process; its number."""
    pid = os.fork()
    if pid == 0:
        users.die_with_parent()
        nowhere = os.open("/dev/null", os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        os.execve(file, [b"program", *arguments], {})
    return pid


def _main() -> None:
    kind, user, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    lift_limits()
    users.become(user)
    folder = Path(tempfile.mkdtemp(prefix="large-"))
    made = []
    for number in range(count):
        if kind == "programs":
            _deep(folder, number)
            made.append(run("./program", b"600"))
        else:
            many = [b"\xff" * ARGUMENT] * ARGUMENTS
            made.append(run("/bin/sh", b"-c", b"kill -STOP $$", *many))
    users.held(made)
    for pid in made:
        os.kill(pid, 9)
    os.chdir("/")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main()
