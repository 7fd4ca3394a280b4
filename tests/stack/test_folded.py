"""`stack.folded` as the programs that draw flame graphs read it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from msgspec import structs

from procmirror.decoding.render import content_of
from procmirror.decoding.view import Machine
from procmirror.mirror.siblings import view_named
from procmirror.stack.kernel_stack import KernelFrame
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.unwind import INNER
from procmirror.stack.user_side import PythonFrame, UserFrame
from procmirror.views.pid import stack
from tests.live_target import LiveTarget
from tests.stack.targets import compiled, running

# How flamegraph.pl takes a line apart (version 1.0, "sub read_stacks"): the stack and its count.
FLAMEGRAPH = re.compile(r"^(.*)\s+?(\d+(?:\.\d*)?)$")


def lines(stacks: Stacks) -> list[list[str]]:
    """The frames of each line, the outermost first, after the thread's name."""
    found = []
    for line in (
        content_of(view_named("PID/stack"), "folded", stacks, Machine()).decode().splitlines()
    ):
        match = FLAMEGRAPH.fullmatch(line)
        assert match
        assert match[2] == "1"
        found.append(match[1].split(";"))
    return found


def of(pid: int) -> Stacks:
    return stack.join(LiveTarget(f"/proc/{pid}"), Machine())


def frame(function: str | None, mark: str = "proven", *, gap: bool = False) -> UserFrame:
    return UserFrame(*("0x1", function, function, 1, "/lib/x.so", 0x40, None, None, mark), gap=gap)


def thread(**fields: object) -> ThreadStack:
    told = ThreadStack(
        *(7, "a;b\nc", "S", None, None, None, [], False, 0, None), complete=True, reason=None
    )
    return structs.replace(told, **fields)


def test_the_outermost_function_is_first(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-g")
    with running(program, "qsort") as pid:
        (names,) = lines(of(pid))
    assert names[0] == Path(program).name[:15]
    assert names[1] == "_start"
    inner = [name for name in names if name in {"main", "compare", "leaf"}]
    assert inner == ["main", "compare", "leaf"]
    assert names[-1].endswith("_[k]")


def test_functions_of_python_stand_for_the_frames_that_execute_them() -> None:
    script = "def outer():\n    inner()\ndef inner():\n    input()\nouter()"
    with running(sys.executable, "-c", script) as pid:
        stacks = of(pid)
    (names,) = lines(stacks)
    executing = [one for one in stacks.threads[0].user or () if "EvalFrame" in (one.symbol or "")]
    python = [name for name in names if "<string>" in name]
    assert python == ["<module> (<string>:5)", "outer (<string>:2)", "inner (<string>:4)"]
    assert not any(name.startswith("_PyEval_EvalFrameDefault") for name in names)
    # Without that name they are the outermost.
    inside = names.index("main" if "main" in names else "_start") < names.index(python[0])
    assert inside == bool(executing)


def test_nothing_of_a_name_ends_a_frame_or_a_line() -> None:
    evil = thread(user=[frame("f(int;\n)")], python=[PythonFrame("g;h", "x;y\n.py", None, None)])
    (names,) = lines(Stacks(7, 0, [evil]))
    assert names == ["a\\x3bb\\nc", "g\\x3bh (x\\x3by\\n.py:?)", "f(int\\x3b\\n)"]


def test_what_is_missing_has_a_frame_that_says_so() -> None:
    short = thread(user=[frame(None), frame("f", gap=True)], reason="no unwind data")
    long = thread(user=[frame("f")] * (INNER + 1), omitted=30)
    denied = thread(user=None, reason="not permitted")
    kernel = thread(
        kernel=[KernelFrame("kthread", None, None, None, None)], reason="no user context"
    )
    found = lines(Stacks(7, 0, [short, long, denied, kernel]))
    assert found[0][1:] == ["[no unwind data]", "f", "[frames missing]", "x.so+0x40"]
    assert found[1][2] == "[30 frames left out]"
    assert found[2][1:] == ["[not permitted]"]
    assert found[3][1:] == ["kthread_[k]"]


def test_the_text_explains_its_marks_once() -> None:
    marked = thread(user=[frame("f", "repaired"), frame("g", "unsure")])
    text = "".join(stack.text(Stacks(7, 0, [thread(user=[frame("f")]), marked, marked]), Machine()))
    (told,) = [line for line in text.splitlines() if line.startswith("    (?")]
    assert "; ~ found by a search" in told
    assert "(py " not in text
