"""Frames beyond code without unwind data: musl has none, in every program of Alpine.

No other tool shows them: the oracle is what the program does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack.thread_stack import Stacks
from procmirror.views.pid import stack
from tests.programs import ran
from tests.stack.gaps import FLAGS, is_whole, runs, with_musl
from tests.stack.targets import running, seen


@pytest.mark.parametrize("flags", FLAGS)
def test_the_callers_of_two_functions_of_musl(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with running(with_musl("sorting.c", tmp_path, *flags)) as pid:
        (thread,) = seen(pid).values()
    assert is_whole("sorting.c", thread), runs(thread)
    assert all(frame.mark == "unsure" for frame in thread.user or () if frame.symbol == "work")


@pytest.mark.parametrize("flags", FLAGS)
def test_what_older_calls_left_is_no_frame(tmp_path: Path, flags: tuple[str, ...]) -> None:
    program = with_musl("stale.c", tmp_path, *flags)
    for levels in (*range(20), 30, 200):
        with running(program, str(levels)) as pid:
            (thread,) = seen(pid).values()
        assert is_whole("stale.c", thread), (levels, runs(thread))


def test_the_text_says_where_frames_are_missing(tmp_path: Path) -> None:
    with running(with_musl("sorting.c", tmp_path, "-O2")) as pid:
        (thread,) = seen(pid).values()
    text = "".join(stack.text(Stacks(pid, 0, [thread]), Machine()))
    assert text.count("    …       (frames missing)\n") == 2


def test_the_callers_of_main_are_not_found_beyond_a_gap(tmp_path: Path) -> None:
    """Their return addresses are on every stack: other frames may be between."""
    inner, outer = tmp_path / "inner.c", tmp_path / "outer.c"
    inner.write_text(
        "#include <unistd.h>\nint work(int n) { return n ? work(n - 1) + 1 : pause(); }"
    )
    outer.write_text("int work(int);\nint main(void) { return work(3) + 1; }")
    compiling = ("gcc", "-O0", "-fomit-frame-pointer", "-c")
    ran(*compiling, inner, "-o", tmp_path / "inner.o")
    ran(*compiling, "-fno-asynchronous-unwind-tables", outer, "-o", tmp_path / "outer.o")
    program = tmp_path / "program"
    assert ran("gcc", tmp_path / "inner.o", tmp_path / "outer.o", "-o", program).code == 0
    with running(str(program)) as pid:
        (thread,) = seen(pid).values()
    names = [frame.symbol for frame in thread.user or ()]
    assert [name for name in names if name in {"work", "main"}] == ["work"] * 4 + ["main"]
    assert names[-1] == "main" and not thread.complete
