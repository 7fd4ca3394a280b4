"""What is left of a process that ends while others stand in its directory, asked of /proc and of a mirror of it.

Run as the first process of a new pid namespace with its own /proc: `python -m tests.clients.reused
PLACE`. A process gets the number of one that has ended; what the directory, its descriptors and its
open files then say is printed as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from errno import errorcode
from functools import partial
from pathlib import Path
from typing import Any

NAMES = [
    "environ",
    "status",
    "stat",
    "cmdline",
    "comm",
    "maps",
    "limits",
    "exe",
    "fd",
    "task",
    "net/dev",
    "fdinfo/0",
    "ns/net",
]
VIEWS = [
    "environ.json",
    "environ.txt",
    "status.json",
    "process.json",
    "fd.json",
    "maps.txt",
    "cmdline.json",
]


def sleeper(word: str) -> subprocess.Popen[bytes]:
    """A process that says who it is by its environment and its command line."""
    script = "import os, sys, time; os.write(1, b'!'); time.sleep(600)"
    program = subprocess.Popen(
        [sys.executable, "-S", "-c", script, word], env={"WORD": word}, stdout=subprocess.PIPE
    )
    assert program.stdout and program.stdout.read(1) == b"!"
    program.stdout.close()
    return program


def successor(pid: int, word: str) -> subprocess.Popen[bytes]:
    """A process of that number, which is free."""
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        program = sleeper(word)
        if program.pid == pid:
            return program
        program.kill()
        program.wait()
    raise AssertionError("the number does not come again")


def outcome(action: Callable[[], Any]) -> str:
    """What comes of it: the name of an error, or the beginning of the content."""
    try:
        found = action()
    except OSError as error:
        return errorcode[error.errno or 0]
    return repr(found)[:300]


def content(name: str, directory: int | None) -> bytes | str | list[str]:
    """A file, link or directory below a directory descriptor or the working directory."""
    with suppress(OSError):
        return os.readlink(name, dir_fd=directory)
    descriptor = os.open(name, os.O_RDONLY, dir_fd=directory)
    try:
        return (
            sorted(os.listdir(descriptor))
            if name in {"fd", "task"}
            else os.read(descriptor, 1 << 17)
        )
    finally:
        os.close(descriptor)


class Stay:
    """A process that stands in another's directory, holds it by descriptor and has files of it open."""

    def __init__(self, directory: Path, names: list[str]) -> None:
        orders, self.ask = os.pipe()
        self.answers, results = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.ask)
            os.chdir(directory)
            held = os.open(directory, os.O_PATH | os.O_DIRECTORY)
            listed = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            files = {name: os.open(name, os.O_RDONLY) for name in ("environ", "status", "cmdline")}
            os.write(results, b"ready\n")
            while True:
                os.read(orders, 1)
                os.write(results, json.dumps(_look(names, held, listed, files)).encode() + b"\n")
        os.close(orders)
        os.close(results)
        self.results = open(self.answers, encoding="utf-8")  # noqa: SIM115
        assert self.results.readline() == "ready\n"

    def look(self) -> Any:
        """What each of them gives now."""
        os.write(self.ask, b"?")
        return json.loads(self.results.readline())

    def end(self) -> None:
        """Let go."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _look(names: list[str], held: int, listed: int, files: dict[str, int]) -> dict[str, str]:
    found = {
        "listing": outcome(partial(os.listdir, listed)),
        "chdir": outcome(partial(os.fchdir, held)),
    }
    for name in names:
        found[f"O_PATH {name}"] = outcome(partial(content, name, held))
        found[f"cwd {name}"] = outcome(partial(content, name, None))
    for name, file in files.items():
        found[f"open {name}"] = outcome(partial(os.pread, file, 1 << 17, 0))
    return found


def main() -> None:
    """First with the predecessor just gone, then with the successor there, then after the kernel was told to forget."""
    place = Path(sys.argv[1])
    daemon = subprocess.Popen(
        [sys.executable, "-m", "procmirror", "-f", place], stdin=subprocess.DEVNULL
    )
    while not os.path.ismount(place):
        assert daemon.poll() is None
        time.sleep(0.05)
    answers = []
    for wait in (0.0, 2.5):
        first = sleeper("predecessor")
        stays = {
            "native": Stay(Path(f"/proc/{first.pid}"), NAMES),
            "mirror": Stay(place / str(first.pid), NAMES),
            "views": Stay(place / str(first.pid), VIEWS),
        }
        # What was read with OPEN is good for a moment (READAHEAD_SECONDS).
        time.sleep(0.1)
        first.kill()
        first.wait()
        answers.append({"moment": "gone"} | {name: stay.look() for name, stay in stays.items()})
        time.sleep(wait)
        second = successor(first.pid, "successor")
        answers.append({"moment": "reused"} | {name: stay.look() for name, stay in stays.items()})
        answers[-1]["fresh"] = (place / str(first.pid) / "environ.txt").read_text()
        answers[-1]["again"] = (place / str(first.pid) / "cmdline").read_text()
        second.kill()
        second.wait()
        for stay in stays.values():
            stay.end()
    json.dump(answers, sys.stdout)
    subprocess.run(["umount", "-l", place], check=True, timeout=20)
    daemon.wait(20)


if __name__ == "__main__":
    main()
