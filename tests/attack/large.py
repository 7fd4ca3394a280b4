"""Processes of which one thing is very large.

As a program: `python -m tests.attack.large KIND USER COUNT`. It makes COUNT processes and writes
their numbers. KIND is `programs` (the path of the program has 120 names and 4,000 bytes), `cgroups`
(the path of the cgroup, below one that root has given to USER), `arguments` (six megabytes of them,
all undecodable), `controls` (one of control characters) or `mappings` (14,000 of a file with such a path: 54 MB of maps).
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.attack import users

_DEPTH, _NAME = 120, 31
ARGUMENT, ARGUMENTS = 131_000, 46
MAPPINGS = 14_000
_PRIVATE = 0x44000  # MS_REC | MS_PRIVATE of mount(2)
# Where machines have a hierarchy of cgroups that costs little.
_HIERARCHIES = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")


def _names(number: int) -> list[str]:
    return [f"{number:04}.{depth:03}.".ljust(_NAME, "x") for depth in range(_DEPTH)]


def _deep(folder: Path, number: int) -> None:
    """Stand in a directory of its own, deep below a folder."""
    os.chdir(folder)
    for name in _names(number):
        os.mkdir(name)
        os.chdir(name)


def _program(folder: Path, number: int) -> int:
    _deep(folder, number)
    shutil.copy("/usr/bin/sleep", "program")
    return run("./program", b"600")


def _group(folder: Path, number: int) -> int:
    _deep(folder, number)
    pid = run("/usr/bin/sleep", b"600")
    Path("cgroup.procs").write_text(str(pid), encoding="ascii")
    return pid


def _arguments(_: Path, number: int) -> int:
    del number
    return run("/bin/sh", b"-c", b"kill -STOP $$", *[b"\xff" * ARGUMENT] * ARGUMENTS)


def _controls(_: Path, number: int) -> int:
    del number
    return run("/bin/sh", b"-c", b"kill -STOP $$", b"\x01" * 65_000)


def _mappings(folder: Path, number: int) -> int:
    """A process with many mappings of a page, none of which the kernel joins with the next."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        users.die_with_parent()
        _deep(folder, number)
        file = os.open("mapped", os.O_RDWR | os.O_CREAT)
        for _ in range(MAPPINGS):
            users.map_page(file)
        os.close(writing)
        signal.pause()
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    return pid


def _given_group(user: int) -> Path:
    """A cgroup of a user's, in which this process goes on; OSError without cgroups.

    Another process of root's removes it at the end.
    """
    name = f"procmirror-{os.getpid()}"
    for top in filter(lambda one: (one / "cgroup.procs").exists(), map(Path, _HIERARCHIES)):
        with suppress(OSError):
            (top / name).mkdir()
            users.not_interrupted()
            if pid := os.fork():
                os.waitpid(pid, 0)
                (top / name).rmdir()
                os._exit(0)
            for given in (top / name, top / name / "cgroup.procs"):
                os.chown(given, user, user)
            (top / name / "cgroup.procs").write_text("0", encoding="ascii")
            return top / name
    raise FileNotFoundError(2, "no cgroup can be made")


def _remove_group(folder: Path, count: int) -> None:
    """Remove all cgroups below one; the one itself is root's to remove."""
    for number in range(count):
        os.chdir(folder)
        names = _names(number)
        for name in names:
            os.chdir(name)
        for name in reversed(names):
            os.chdir("..")
            os.rmdir(name)


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


def _memory_as_tmp() -> None:
    """Have a /tmp of memory for oneself: a disk takes long to remove thousands of directories."""
    users.check(users.libc.unshare(users.CLONE_NEWNS))
    users.mount("none", "/", "none", "", _PRIVATE)
    users.mount("tmpfs", "/tmp", "tmpfs", "mode=1777")


def _main() -> None:
    kind, user, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    lift_limits()
    group = _given_group(user) if kind == "cgroups" else None
    _memory_as_tmp()
    users.become(user)
    folder = group or Path(tempfile.mkdtemp(prefix="large-"))
    make = {
        "programs": _program,
        "cgroups": _group,
        "arguments": _arguments,
        "controls": _controls,
        "mappings": _mappings,
    }[kind]
    made = [make(folder, number) for number in range(count)]
    users.held(made)
    for pid in made:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    if group:
        _remove_group(group, count)


if __name__ == "__main__":
    _main()
