"""`complete` is said only of stacks that are: of eu-stack's frames none is missing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack.frames import NOWHERE
from procmirror.stack.repair import SEARCHED
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.threads import OUT_OF_TIME
from procmirror.stack.unwind import INNER, MOST_FRAMES, OUTER
from procmirror.views.pid import stack
from tests.harness import state_of, until
from tests.stack.targets import (
    PROGRAMS,
    available,
    common,
    compiled,
    eu_stack,
    named,
    running,
    seen,
    started,
)


def counters(thread: ThreadStack) -> list[int]:
    return [int(frame.pc, 16) for frame in thread.user or ()]


def test_a_program_that_is_stopped_anywhere(tmp_path: Path) -> None:
    complete = 0
    with started(compiled("stopped.c", tmp_path, "-O2")) as pid:
        time.sleep(0.1)
        for _ in range(60):
            os.kill(pid, signal.SIGSTOP)
            until(lambda: state_of(pid) == "T", "it does not stop")
            thread, theirs = seen(pid)[pid], eu_stack(pid)[pid]
            os.kill(pid, signal.SIGCONT)
            time.sleep(random.uniform(0.003, 0.007))
            ours = counters(thread)
            assert common(ours, theirs) == len(ours), "a frame that does not exist"
            assert not thread.complete or ours == theirs
            complete += thread.complete
    assert complete > 3


def test_a_function_without_unwind_data_in_between(tmp_path: Path) -> None:
    source, part = PROGRAMS / "skipped.c", str(tmp_path / "part.o")
    bare = ["-O2", "-DWITHOUT", "-fno-asynchronous-unwind-tables", "-c"]
    subprocess.run(["gcc", *bare, source, "-o", part], check=True)
    program = str(tmp_path / "skipped")
    subprocess.run(["gcc", "-O0", source, part, "-o", program], check=True)
    with running(program) as pid:
        (thread,) = seen(pid).values()
    assert named(thread) == ["pause", "leaf"]
    assert not thread.complete


def test_a_signal_after_a_call_of_0(tmp_path: Path) -> None:
    with running(compiled("shapes.c", tmp_path, "-O0"), "call_of_0") as pid:
        (thread,), (theirs,) = seen(pid).values(), eu_stack(pid).values()
    assert counters(thread) == theirs
    assert {frame.mark for frame in thread.user or ()} <= {"proven", "repaired"}
    assert (thread.complete, thread.reason) == (False, NOWHERE)


@pytest.mark.parametrize("flags", [["-O0"], ["-O3", "-fomit-frame-pointer"]], ids=" ".join)
def test_generated_code_that_is_about_to_return(flags: list[str], tmp_path: Path) -> None:
    """It is `mov $34,%eax; syscall; ret`: the return address is on top of the stack."""
    with running(compiled("shapes.c", tmp_path, *flags), "generated_leaf") as pid:
        (thread,) = seen(pid).values()
    assert named(thread)[:3] == [None, "generated", "main"]
    assert named(thread)[-1] == "_start"
    assert thread.complete


def test_the_parent_in_vfork(tmp_path: Path) -> None:
    with running(compiled("frames.c", tmp_path, "-O0"), "vfork") as pid:
        (thread,) = seen(pid).values()
    # eu-stack and gdb wait for ever here.
    ours = named(thread)
    assert (ours[0], thread.complete) == ("__vfork", True)
    assert ours[1:] == [*["vforks"] * 4, "main", "__libc_start_call_main", *ours[-2:]]
    assert ours[-1] == "_start"


def test_a_library_that_was_overwritten_in_place(tmp_path: Path) -> None:
    sources = {"one": "int f(int (*g)(void)) { return g() + 1; }"}
    sources["two"] = "int p(int a) { return a * 7 ? p(a - 1) + 3 : 1; }\n" * 1 + (
        "int q(int a) { char b[5000]; b[a] = 1; return p(b[a / 2]) + b[0]; }\n"
        "int f(int (*g)(void)) { volatile int x[300]; x[7] = q(5); return g() + x[7]; }"
    )
    for name, source in sources.items():
        flags = ["gcc", "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / name)]
        subprocess.run(flags, input=source.encode(), check=True)
    library = tmp_path / "libf.so"
    shutil.copy(tmp_path / "one", library)
    caller = "#include <unistd.h>\nint f(int (*)(void));\nint main(void) { return f(pause); }"
    program = str(tmp_path / "caller")
    command = ["gcc", "-O1", "-x", "c", "-", "-x", "none", str(library), "-o", program]
    command.append(f"-Wl,-rpath,{tmp_path}")
    subprocess.run(command, input=caller.encode(), check=True)
    with running(program) as pid:
        (before,) = seen(pid).values()
        library.write_bytes((tmp_path / "two").read_bytes())
        (after,) = seen(pid).values()
    assert before.complete
    assert "main" in named(before)
    assert not after.complete


def test_both_ends_of_a_deep_stack(tmp_path: Path) -> None:
    with running(compiled("frames.c", tmp_path, "-O0"), "deeper") as pid:
        (thread,), (theirs,) = seen(pid).values(), eu_stack_of_all(pid)
        text = "".join(stack.text(Stacks(pid, 0, [thread]), Machine()))
    ours = counters(thread)
    assert (len(ours), thread.complete) == (MOST_FRAMES, True)
    assert ours == theirs[:INNER] + theirs[-OUTER:]
    assert thread.omitted == len(theirs) - MOST_FRAMES > 500
    assert f"({thread.omitted} frames left out)" in text
    assert f"    #{len(theirs) - 1} " in text


def eu_stack_of_all(pid: int) -> list[list[int]]:
    said = subprocess.run(
        ["eu-stack", "-n", "0", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout
    return [[int(line.split()[1], 16) for line in said.splitlines() if line.startswith("#")]]


def test_a_link_found_by_search_is_not_complete(tmp_path: Path) -> None:
    with running(compiled("frames.c", tmp_path, "-O0"), "alloca_leaf") as pid:
        (thread,) = seen(pid).values()
    assert named(thread)[:3] == ["__read", "alloca_leaf", "main"]
    assert (thread.complete, thread.reason) == (False, SEARCHED)


def test_the_caller_of_main_is_not_found_by_search(tmp_path: Path) -> None:
    with running(compiled("frames.c", tmp_path, "-O0"), "main_alloca") as pid:
        (thread,) = seen(pid).values()
    assert named(thread) == ["__read", "main"]
    assert not thread.complete


@pytest.mark.parametrize("flags", [["-O2"], ["-O0"]], ids=" ".join)
def test_code_with_rules_for_debuggers_only(flags: list[str], tmp_path: Path) -> None:
    bare = ["-g", "-fno-asynchronous-unwind-tables", "-fno-exceptions"]
    program = compiled("frames.c", tmp_path, *flags, *bare)
    with running(program, "recursion") as pid:
        (thread,), (theirs,) = seen(pid).values(), eu_stack(pid).values()
    assert counters(thread) == theirs
    assert named(thread).count("recursion") == 21
    assert thread.complete


def test_compressed_rules_for_debuggers(tmp_path: Path) -> None:
    bare = ["-g", "-gz=zlib", "-fno-asynchronous-unwind-tables", "-O2"]
    with running(compiled("frames.c", tmp_path, *bare), "recursion") as pid:
        (thread,), (theirs,) = seen(pid).values(), eu_stack(pid).values()
    assert (counters(thread), thread.complete) == (theirs, True)


def test_a_stack_overflow_that_another_stack_handles(tmp_path: Path) -> None:
    with running(compiled("frames.c", tmp_path, "-O0"), "overflow") as pid:
        (thread,), (theirs,) = seen(pid).values(), eu_stack_of_all(pid)
    ours = counters(thread)
    assert ours == theirs[:INNER] + theirs[-OUTER:]
    assert (thread.complete, thread.omitted) == (True, len(theirs) - MOST_FRAMES)


def test_threads_that_are_left_out_are_told_on_top() -> None:
    with running(available("sleep"), "1000") as pid:
        (thread,) = seen(pid).values()
    late = ThreadStack(
        *(1, "x", "S", None, None, None, [], False, 0, None), complete=False, reason=OUT_OF_TIME
    )
    text = "".join(stack.text(Stacks(pid, 1, [thread, late]), Machine()))
    assert text.startswith("1 of 2 threads without user frames: time\n")


def stripped(program: str, debug: Path) -> None:
    """Move the symbols of a program into a debug file that it links to by name."""
    subprocess.run(["objcopy", "--only-keep-debug", program, debug], check=True)
    subprocess.run(["strip", program], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", program], check=True)


@pytest.mark.parametrize("place", [".", ".debug"])
def test_names_by_a_debug_link(place: str, tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2", "-g", "-Wl,--build-id=none")
    (tmp_path / place).mkdir(exist_ok=True)
    stripped(program, tmp_path / place / "frames.debug")
    with running(program, "recursion") as pid:
        (thread,) = seen(pid).values()
    assert named(thread).count("recursion") == 21


def test_a_debug_link_with_another_checksum_names_nothing(tmp_path: Path) -> None:
    program = compiled("frames.c", tmp_path, "-O2", "-g", "-Wl,--build-id=none")
    debug = tmp_path / "frames.debug"
    stripped(program, debug)
    with debug.open("ab") as file:
        file.write(b"more")
    with running(program, "recursion") as pid:
        (thread,) = seen(pid).values()
    assert "recursion" not in named(thread)
    assert thread.complete
