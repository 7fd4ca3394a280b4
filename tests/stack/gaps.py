"""Programs of musl, which has no unwind data, and the runs of their own functions between the gaps."""

from __future__ import annotations

import subprocess
from pathlib import Path

from procmirror.stack.thread_stack import ThreadStack
from tests.stack.targets import PROGRAMS as SOURCES

FLAGS = [(), ("-O2",), ("-static",), ("-O2", "-static"), ("-O1", "-fno-omit-frame-pointer")]
# A program that the C library interrupts twice, and ones with older return addresses on the stack.
PROGRAMS = (("sorting.c", ()), ("stale.c", ("5",)), ("stale.c", ("30",)))
_OWN = {"sleeper", "compared", "work", "main", "dig"}


def with_musl(source: str, folder: Path, *flags: str) -> str:
    """The program of a source file, built with musl; only its own code has unwind data."""
    program = folder / "program"
    command = ["musl-gcc", "-fasynchronous-unwind-tables", *flags, SOURCES / source, "-o", program]
    subprocess.run([str(word) for word in command], check=True)
    return str(program)


def runs(thread: ThreadStack) -> list[list[str]]:
    """The names of the program's functions, in the runs that the gaps make."""
    found: list[list[str]] = [[]]
    for frame in thread.user or ():
        if frame.gap:
            found.append([])
        if frame.symbol in _OWN:
            found[-1].append(frame.symbol)
    return found


def is_whole(source: str, thread: ThreadStack) -> bool:
    """Whether these are the frames of one of `PROGRAMS`, and more is not said of them.

    With -O2 the calls of a function by itself become a loop.
    """
    inner, *beyond = runs(thread)
    outer = [["work"] * 5 + ["main"], ["work", "main"]]
    if source == "sorting.c":
        compared = [["sleeper"] * 4 + ["compared"], ["sleeper", "compared"]]
        same = len(beyond) == 2 and beyond[0] in compared and beyond[1] == outer[0]
    else:
        same = len(beyond) == 1 and beyond[0] in outer
    return same and not inner and not thread.complete and bool(thread.reason)
