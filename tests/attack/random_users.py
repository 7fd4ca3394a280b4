"""A user whose processes make system calls that chance chooses, and are killed at any moment.

As a program: `python -m tests.attack.random_users SEED SECONDS USER KIND READ_ONLY WRITABLE`. KIND is
`plain` or `namespace` (root of a user namespace of USER's own); the rest are two mirrors. Writes a
line of JSON: how many calls were made, and what was wrong, each with the number of its process. The
same seed and number make the same calls again, as far as the machine has the same names.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

from tests.attack import users
from tests.attack.random_calls import Caller, Roots
from tests.harness import load

_ODD = ("", "00001", "4294967297", "-1", "x" * 255, "x" * 256, "a\nb\x1b[2J", ".txt")
_INDEXES = (
    "by-name",
    "by-user",
    "by-exe",
    "by-cgroup",
    "by-port",
    "by-parent",
    "by-user/root/pids",
)
# Reading the memory of devices may disturb them; the rest is the machine's to keep.
_LEFT_ALONE = ("bus/pci", "kcore", "kmsg", "acpi", "sysrq-trigger")
_AT_ONCE, _DEEPEST, _MANY = 2, 4, 60
_OF_SYSTEM, _OF_PROCESS = 1500, 500
# A call may wait for its worker and for the kernel, but not longer than this (seconds).
_TOO_LONG = 20.0


def _walked(root: int, path: str, depth: int = 0) -> Iterator[str]:
    """Names below a directory: all of the first level, some of each deeper one."""
    try:
        with os.scandir(f"/proc/self/fd/{root}/{path}") as scan:
            found = sorted(scan, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in found if depth == 0 else found[:_MANY]:
        below = f"{path}/{entry.name}".removeprefix("./")
        if below.startswith(_LEFT_ALONE) or (path == "." and entry.name.isdigit()):
            continue
        yield below
        if depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
            yield from _walked(root, below, depth + 1)


def _some(paths: list[str], most: int) -> list[str]:
    return random.Random(0).sample(paths, min(len(paths), most))


def _names(root: int) -> list[str]:
    """Paths of entries and views; `{me}` stands for the process that asks."""
    mine = str(os.getpid())
    processes = [name for name in os.listdir("/proc") if name.isdigit()]
    found = _some(list(_walked(root, ".")), _OF_SYSTEM)
    for pid in [mine, mine, "1", str(os.getppid()), *_some(processes, 6)]:
        found += _some(list(_walked(root, pid)), _OF_PROCESS)
    found += ["self", "thread-self", "self/status", "thread-self/environ", *_INDEXES, *_ODD]
    found += [f"{place}/{odd}" for place in (mine, "1", "net", "self/fd") for odd in _ODD]
    return [path.replace(mine, "{me}", 1) if path.startswith(mine) else path for path in found]


class Process:
    """One process that makes calls, and what it says of them in memory that is shared."""

    def __init__(self, number: int, seed: str, roots: Roots, names: list[str], said: int) -> None:
        self.number, self._said = number, said
        self._note = mmap.mmap(-1, 8192)
        self._calls = 0
        self.pid = os.fork()
        if self.pid == 0:
            self._run(random.Random(f"{seed}/{number}"), roots, names)

    def _run(self, chance: random.Random, roots: Roots, names: list[str]) -> NoReturn:
        users.die_with_parent()
        users.dumpable()
        for ignored in (signal.SIGPIPE, signal.SIGIO):
            signal.signal(ignored, signal.SIG_IGN)
        found = set[tuple[str, ...]]()

        def find(*finding: str) -> None:
            if finding not in found and len(found) < 100:
                found.add(finding)
                os.write(self._said, json.dumps([self.number, *finding]).encode() + b"\n")

        caller = Caller(chance, roots, self._say, find)
        try:
            while True:
                caller.step(chance.choice(names))
        except Exception as failed:  # noqa: BLE001 - a fault of these calls is found, too
            find("failed", *self.doing()[1:], repr(failed))
        os._exit(1)

    def _say(self, call: str, path: str) -> None:
        self._calls += 1
        note = json.dumps([self._calls, call, path[:1000], time.monotonic()]).encode()
        self._note[: len(note) + 1] = note + b"\0"

    def doing(self) -> list[str]:
        """How many calls were made; the last call and its path."""
        note = self._note[:].partition(b"\0")[0]
        try:
            return [str(word) for word in json.loads(note)[:3]]
        except ValueError:
            return ["0", "", ""]

    def since(self) -> float:
        """For how many seconds the last call has been under way."""
        with suppress(ValueError):
            return time.monotonic() - float(json.loads(self._note[:].partition(b"\0")[0])[3])
        return 0.0

    def ended(self) -> bool:
        """Whether it has ended."""
        return bool(os.waitpid(self.pid, os.WNOHANG)[0])

    def kill(self) -> None:
        """End it, in the middle of a call."""
        os.kill(self.pid, signal.SIGKILL)


def _lines(said: int) -> list[Any]:
    """What processes have said so far."""
    text = b""
    while select.select([said], [], [], 0)[0]:
        text += os.read(said, 1 << 16)
    return [json.loads(line) for line in text.splitlines()]


def _run(seed: str, seconds: float, roots: Roots) -> dict[str, Any]:
    """Processes one after the other, each killed at some moment."""
    chance = random.Random(seed)
    names = _names(roots.read_only)
    reading, writing = os.pipe()
    found: list[Any] = []
    calls, number, running = 0, 0, list[Process]()
    end = time.monotonic() + seconds
    while running or time.monotonic() < end:
        going_on = time.monotonic() < end
        if going_on and len(running) < _AT_ONCE:
            number += 1
            running.append(Process(number, seed, roots, names, writing))
        time.sleep(0.1)
        for process in running[:]:
            late = process.since() > _TOO_LONG * load()
            if late:
                found.append([process.number, "late", *process.doing()[1:], ""])
            if late or not going_on or chance.random() < 0.05:
                process.kill()
            if process.ended() or late:
                calls += int(process.doing()[0])
                running.remove(process)
        found += _lines(reading)
    return {"calls": calls, "processes": number, "found": found}


def _main() -> None:
    seed, seconds, user, kind, *mirrors = sys.argv[1:]
    if int(user):
        users.become(int(user))
    if kind == "namespace":
        users.enter_namespaces(int(user), users.CLONE_NEWUSER)
    flags = os.O_PATH | os.O_DIRECTORY
    roots = Roots(*(os.open(root, flags) for root in ("/proc", *mirrors)))
    said = _run(f"{seed}/{user}/{kind}", float(seconds), roots)
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    _main()
