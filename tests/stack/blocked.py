"""Programs that block in a known system call, compiled once for all tests."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")

SOURCES = Path(__file__).parent
# No library is needed for the 32-bit program, so that the compiler of a 64-bit system makes it as
# it is.
_COMMANDS = {
    "blocked": ["gcc", "-O1", "-Wall", "-Werror", "-pthread"],
    "blocked32": [
        "gcc",
        "-m32",
        "-O1",
        "-Wall",
        "-Werror",
        "-ffreestanding",
        "-fno-pie",
        "-nostdlib",
        "-no-pie",
        "-static",
    ],
}


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="blocked")


@cache
def program(name: str) -> Path:
    """The compiled program."""
    made = Path(_kept().name) / name
    subprocess.run([*_COMMANDS[name], "-o", made, SOURCES / f"{name}.c"], check=True)
    return made


@contextmanager
def started(command: list[str | Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said that it is ready, ended afterwards with its children."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            # Its own children first: they hold the pipe, and a process under a tracer outlives the
            # tracer.
            for child in [*reversed(descendants(process.pid)), process.pid]:
                subprocess.run(
                    ["kill", "-KILL", str(child)], check=False, stderr=subprocess.DEVNULL
                )


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text(encoding="ascii").split()):
            found += [child, *descendants(child)]
    return found
