"""Users who want too much. As a program: `python -m tests.reliability.greedy WHAT MOUNT USER PID`.

Counts of errnos in JSON.

It says a line when it holds what it could get, and lets go when its stdin ends.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.harness import ROOT, load

LARGE_OPENS = 500 if "PROCMIRROR_SOAK" in os.environ else 100
HANDLES, NAMESPACES, SUBUIDS = 2_000, 200, 100
UNREAD, MAPPINGS = 4_000, 1_500
NAMES, LISTINGS, THREADS, REWINDS = 10_000, 80, 400, 700
_PR_SET_DUMPABLE = 4
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

Counts = collections.Counter[str]


@contextlib.contextmanager
def greedy(what: str, mount: object, user: int, pid: int = 0) -> Iterator[dict[str, int]]:
    """How often each errno (or nothing) came; what could be had is held during the block."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.greedy", what, str(mount), str(user), str(pid)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdin and program.stdout
    try:
        said: dict[str, Any] = json.loads(program.stdout.readline())
        yield said
    finally:
        program.stdin.close()
        try:
            program.wait(20 * load())
        finally:
            program.kill()
            program.stdout.close()


def _tried(counts: Counts, step: Callable[[], object]) -> None:
    try:
        step()
        counts[""] += 1
    except OSError as refused:
        counts[errno.errorcode[refused.errno or errno.EIO]] += 1


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _libc.prctl(_PR_SET_DUMPABLE, 1)


def _read(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        while os.read(file, 1 << 17):
            pass
    finally:
        os.close(file)


def _handles(mount: str, _: int, counts: Counts) -> None:
    """Many open files, raw and decoded."""
    for name in ("status", "environ.txt") * (HANDLES // 2):
        _tried(counts, partial(os.open, f"{mount}/self/{name}", os.O_RDONLY))


def _unread(mount: str, _: int, counts: Counts) -> None:
    """Files of 64 KiB and more, opened and not read, of another process of the same user."""
    pid = os.fork()
    if pid == 0:
        _libc.prctl(_PR_SET_DUMPABLE, 1)
        # Neighbours of different rights are mappings of their own.
        kept = [mmap.mmap(-1, 4096, prot=1 + number % 2) for number in range(2 * MAPPINGS)]
        time.sleep(1000 + len(kept))
    path = f"{mount}/{pid}/maps"
    until = time.monotonic() + 20 * load()
    while len(Path(path).read_bytes()) < 1 << 16 and time.monotonic() < until:
        time.sleep(0.05)
    for _at in range(UNREAD):
        _tried(counts, partial(os.open, path, os.O_RDONLY))
    os.kill(pid, 9)


def _large(mount: str, pid: int, counts: Counts) -> None:
    """A large snapshot, again and again."""
    for _at in range(LARGE_OPENS):
        _tried(counts, lambda: os.open(f"{mount}/{pid}/environ.txt", os.O_RDONLY))


def _bytewise(mount: str, _: int, counts: Counts) -> None:
    """From the start again after each byte."""
    file = os.open(f"{mount}/processes.ndjson", os.O_RDONLY)
    for _at in range(300):
        _tried(counts, lambda: os.pread(file, 1, 0))
    with open(f"{mount}/processes.ndjson", "rb", buffering=0) as single:
        for _at in range(2000):
            _tried(counts, lambda: single.read(1))


def _in_child(step: Callable[[], None]) -> str:
    """The errno's name that a step ended with, carried out in a child."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            step()
        except OSError as refused:
            os.write(theirs, errno.errorcode[refused.errno or errno.EIO].encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as said:
        name = said.read().decode()
    os.waitpid(pid, 0)
    return name


def _namespaces(mount: str, _: int, counts: Counts) -> None:
    """A new user and network namespace for each request."""
    for _at in range(NAMESPACES):

        def once() -> None:
            if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "unshare")
            _libc.prctl(_PR_SET_DUMPABLE, 1)
            _read(f"{mount}/self/stat.json")
            _read(f"{mount}/self/net/dev")

        counts[_in_child(once)] += 1


def _listings(mount: str, _: int, counts: Counts) -> None:
    """Many open directories, of many names each."""
    first = os.open("/dev/null", os.O_RDONLY)
    for _at in range(NAMES):
        os.dup(first)
    for _at in range(LISTINGS):
        _tried(counts, lambda: os.listdir(os.open(f"{mount}/self/fd", os.O_RDONLY)))


def _threads(mount: str, _: int, counts: Counts) -> None:
    """Many threads, each looked at by its number in the root."""
    held = threading.Event()
    threading.stack_size(1 << 17)
    for _at in range(THREADS):
        threading.Thread(target=held.wait, daemon=True).start()
    for tid in os.listdir("/proc/self/task"):
        _tried(counts, partial(os.stat, f"{mount}/{tid}/status"))


def _rewinds(mount: str, _: int, counts: Counts) -> None:
    """Snapshots that are not made again when they are read again, and as many again."""
    maps = [
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | (mmap.PROT_WRITE if at % 2 else 0))
        for at in range(250)
    ]
    held = [os.open(f"{mount}/self/maps.json", os.O_RDONLY) for _at in range(REWINDS)]
    before = [os.pread(file, 1 << 16, 0) for file in held]
    del maps[100:]
    time.sleep(1.1)
    if [os.pread(file, 1 << 16, 0) for file in held] != before:
        raise AssertionError("made again for whoever has it")
    maps += [mmap.mmap(-1, 4096) for _ in range(150)]
    for _at in range(REWINDS):
        _tried(counts, lambda: os.open(f"{mount}/self/maps.json", os.O_RDONLY))
    del maps


def _container(mount: str, _: int, counts: Counts) -> None:
    """Root of a user namespace that root made."""
    if _libc.unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("uid_map", "0 0 1"), ("setgroups", "deny"), ("gid_map", "0 0 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    _libc.prctl(_PR_SET_DUMPABLE, 1)
    for _at in range(HANDLES // 4):
        _tried(counts, lambda: os.open(f"{mount}/version", os.O_RDONLY))


_KINDS: dict[str, Callable[[str, int, Counts], None]] = {
    "handles": _handles,
    "unread": _unread,
    "large": _large,
    "bytewise": _bytewise,
    "namespaces": _namespaces,
    "listings": _listings,
    "threads": _threads,
    "rewinds": _rewinds,
    "container": _container,
}


def _subuids(mount: str, user: int, pid: int, counts: Counts) -> None:
    """One account that asks with many subordinate ids, each holding what it can get."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _become(user)
        _libc.unshare(_CLONE_NEWUSER)
        _libc.prctl(_PR_SET_DUMPABLE, 1)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        for subordinate in range(1, SUBUIDS + 1):
            ours, theirs = os.pipe()
            if os.fork() == 0:
                os.close(ours)
                os.setresgid(subordinate, subordinate, subordinate)
                os.setresuid(subordinate, subordinate, subordinate)
                _libc.prctl(_PR_SET_DUMPABLE, 1)
                mine: Counts = collections.Counter()
                for _at in range(20):
                    _tried(mine, lambda: os.open(f"{mount}/{pid}/status.json", os.O_RDONLY))
                    _tried(mine, lambda: os.open(f"{mount}/self/environ.txt", os.O_RDONLY))
                os.write(theirs, json.dumps(mine).encode())
                os.close(theirs)
                sys.stdin.read()
                os._exit(0)
            os.close(theirs)
            with open(ours, "rb") as said:
                os.write(ready[1], said.read() + b"\n")
        os._exit(0)
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text(
            f"0 {user} 1\n1 200000 {SUBUIDS}\n", encoding="ascii"
        )
    os.write(go[1], b"x")
    os.close(ready[1])
    with open(ready[0], "rb") as said:
        for _at in range(SUBUIDS):
            counts.update(json.loads(said.readline()))


def _main() -> None:
    what, mount, user, pid = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    counts: Counts = collections.Counter()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if what == "subuids":
        _subuids(mount, user, pid, counts)
    else:
        _become(user)
        _KINDS[what](mount, pid, counts)
    sys.stdout.write(json.dumps(counts) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _main()
