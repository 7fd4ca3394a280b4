"""Frames beyond code without unwind data: musl has none, in every program of Alpine.

No other tool shows them: the oracle is what the program does.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.views.pid import stack
from tests.stack.targets import PROGRAMS, running, seen

FLAGS = [(), ("-O2",), ("-static",), ("-O2", "-static"), ("-O1", "-fno-omit-frame-pointer")]


def with_musl(source: str, folder: Path, *flags: str) -> str:
    """The program of a source file, built with musl; only its own code has unwind data."""
    program = folder / "program"
    command = ["musl-gcc", "-fasynchronous-unwind-tables", *flags, PROGRAMS / source, "-o", program]
    subprocess.run([str(word) for word in command], check=True)
    return str(program)


def runs(thread: ThreadStack) -> list[list[str]]:
    """The names of the program's functions, in the runs that the gaps make."""
    found: list[list[str]] = [[]]
    for frame in thread.user or ():
        if frame.gap:
            found.append([])
        if frame.symbol in {"sleeper", "compared", "work", "main", "dig"}:
            found[-1].append(frame.symbol)
    return found


@pytest.mark.parametrize("flags", FLAGS)
def test_the_callers_of_two_functions_of_musl(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with running(with_musl("sorting.c", tmp_path, *flags)) as pid:
        (thread,) = seen(pid).values()
    inner, first, second = runs(thread)
    assert not inner
    # With -O2 the calls of a function by itself become a loop.
    assert first in (["sleeper"] * 4 + ["compared"], ["sleeper", "compared"])
    assert second == ["work"] * 5 + ["main"]
    assert not thread.complete and thread.reason
    assert all(frame.mark == "unsure" for frame in thread.user or () if frame.symbol == "work")


@pytest.mark.parametrize("flags", FLAGS)
def test_what_older_calls_left_is_no_frame(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = with_musl("stale.c", tmp_path, *flags)
    for levels in (*range(20), 30, 200):
        with running(program, str(levels)) as pid:
            (thread,) = seen(pid).values()
        inner, beyond = runs(thread)
        assert not inner
        assert beyond in (["work"] * 5 + ["main"], ["work", "main"]), levels


def test_the_text_says_where_frames_are_missing(tmp_path: Path) -> None:
    with running(with_musl("sorting.c", tmp_path, "-O2")) as pid:
        (thread,) = seen(pid).values()
    text = "".join(stack.text(Stacks(pid, 0, [thread]), Machine()))
    assert text.count("    …       (frames missing)\n") == 2
