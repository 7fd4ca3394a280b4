"""How many stacks that are called complete are so: `python -m tests.stack.states`.

Many programs in many states are compared with eu-stack, which stops them and is asked afterwards. A
complete stack that differs is shown; the exit status is 1 if there is one.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from procmirror.stack.thread_stack import ThreadStack
from procmirror.stack.unwind import INNER, OUTER
from tests.stack.targets import (
    PROGRAMS,
    built_go,
    common,
    compiled,
    eu_stack,
    running,
    seen,
    started,
)

FLAGS = (
    *("-O0", "-O1", "-O2", "-O3", "-Os", "-Og", "-O2 -s", "-O0 -no-pie -fno-pie", "-O2 -static"),
    *(
        "-O2 -static-pie",
        "-O0 -mavx2",
        "-O2 -flto",
        "-O2 -fno-omit-frame-pointer",
        "-O1 -fcf-protection",
    ),
    *("-O0 -fcf-protection=none", "-O2 -fno-plt", "-O2 -Wl,-z,now", "-O0 -fstack-protector-all"),
    "-O2 -g -fno-asynchronous-unwind-tables",
)
CLANG = ("-O0", "-O2", "-O3 -fomit-frame-pointer")
RUST = ("-g", "-O", "-O -C panic=abort", "-O -C strip=symbols", "-g -C symbol-mangling-version=v0")
WAYS = [
    "recursion",
    "deep",
    "many",
    "vectors",
    "pointers",
    "qsort",
    "signal",
    "altstack",
    "stdio",
    "system",
    "pause",
    "alloca",
    "alloca_leaf",
    "vla",
    "vla_leaf",
    "qsort_alloca",
    "main_alloca",
    "deeper",
    "overflow",
]
SHAPED = ("-O0", "-O2", "-O3 -fomit-frame-pointer", "-O1 -static", "-Os -no-pie -Wl,-z,lazy")
# Not `generated_leaf`, of which eu-stack passes over the caller (tests/stack/test_honest.py).
SHAPES = [
    *("noreturn", "coroutine", "nested", "nested_apart", "fault", "fault_apart", "call_of_0"),
    *("switched", "begun", "table", "generated_frame", "generated_bare"),
    *("choice", "first", "last", "atexit", "cleanup", "key", "cloned", "longjmp", "bsearch"),
    *("atfork", "abort"),
]
PYTHON = """import threading, time
for _ in range(5):
    threading.Thread(target=time.sleep, args=(1000,)).start()"""
COMMANDS = (
    ("sleep", "1000"),
    ("cat",),
    ("bash", "-c", "read x; true"),
    ("bash", "-c", "sleep 1000 & wait"),
    ("dash", "-c", "read x; true"),
    ("perl", "-e", "sub f { my $n = shift; $n ? f($n - 1) : <STDIN> } f(20)"),
    ("python3", "-c", PYTHON),
    ("redis-server", "--port", "4882", "--save", ""),
    ("node", "-e", "setTimeout(() => {}, 1e6)"),
    ("node", "-e", "function f(n) { return n ? f(n - 1) : fs.readSync(0, Buffer.alloc(1)) }; f(5)"),
    ("ruby", "-e", "def f(n) = n > 0 ? f(n - 1) : gets; f(5)"),
    ("php", "-r", "fgets(STDIN);"),
    ("lua5.4", "-e", "io.read()"),
    ("sqlite3",),
    ("gdb", "-q", "-nx"),
    ("tail", "-f", "/dev/null"),
    ("java", "-version"),
    ("ssh-agent", "-D"),
    ("nc", "-l", "127.0.0.1", "4881"),
    ("awk", "{ print }"),
    ("grep", "x"),
    ("sort",),
    ("make", "-f", "-"),
    ("git", "hash-object", "--stdin"),
)


def tell(*words: object) -> None:
    """Write one line of the report."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Count:
    """What was compared."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.programs: set[str] = set()
        self.seen = 0
        self.reasons: Counter[str] = Counter()
        self.frames = 0
        self.false = 0

    def thread(self, name: str, thread: ThreadStack, theirs: list[int]) -> None:
        """Compare one thread."""
        ours = [int(frame.pc, 16) for frame in thread.user or ()]
        whole = theirs[:INNER] + theirs[-OUTER:] if thread.omitted else theirs
        known = common(ours, whole)
        self.frames += len(ours)
        kind = "complete" if thread.complete else "not complete"
        if thread.complete and whole and ours[: len(whole)] == whole != ours:
            kind = "complete, eu-stack ends earlier"
        elif thread.complete and ours != whole:
            kind = "complete, but not so"
            tell(name, [frame.symbol for frame in thread.user or ()], len(whole), len(ours))
        if known < len(ours):
            self.false += len(ours) - known
            tell(name, "has frames that eu-stack does not see:", len(ours) - known)
        self.states[kind] += 1
        if thread.reason:
            self.reasons[thread.reason] += 1

    def process(self, name: str, pid: int) -> None:
        """Compare all threads of a process that stays where it is; one that does not is counted."""
        program = os.readlink(f"/proc/{pid}/exe")
        for _ in range(5):
            ours, theirs = seen(pid), eu_stack(pid)
            if {tid: one.user for tid, one in ours.items()} == {
                tid: one.user for tid, one in seen(pid).items()
            }:
                break
        else:
            self.states["never twice the same"] += 1
            return
        self.seen += 1
        self.programs.add(program)
        for tid, thread in ours.items():
            if theirs.get(tid):
                self.thread(name, thread, theirs[tid])


def processes(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Names and commands of all programs and their ways."""
    for flags in FLAGS:
        program = compiled("frames.c", folder, *flags.split())
        yield from ((f"frames {flags} {way}", [program, way]) for way in WAYS)
        threads = compiled("threads.cpp", folder, *flags.split())
        yield f"threads {flags}", [threads, "2"]
    for flags in CLANG if shutil.which("clang-14") else ():
        program = compiled("frames.c", folder, *flags.split(), compiler="clang-14")
        yield from ((f"frames clang {flags} {way}", [program, way]) for way in WAYS)
    for at, flags in enumerate(RUST if shutil.which("rustc") else ()):
        program = str(folder / f"rust{at}")
        source = str(PROGRAMS / "blocked.rs")
        subprocess.run(["rustc", *flags.split(), source, "-o", program], check=True)
        yield f"rust {flags}", [program]
    for flags in SHAPED:
        program = compiled("shapes.c", folder, *flags.split())
        yield from ((f"shapes {flags} {way}", [program, way]) for way in SHAPES)
    yield "go", [built_go(folder)]
    cgo = built_go(folder, "cgo.go", cgo=True)
    yield from ((f"cgo {depth}", [cgo, str(depth)]) for depth in range(4))
    for command in COMMANDS:
        if found := shutil.which(command[0]):
            yield " ".join(command)[:40], [found, *command[1:]]


def stopped(folder: Path, count: Count) -> None:
    """A program that is stopped at any instruction."""
    for flags in ("-O0", "-O1", "-O2", "-O2 -static", "-O3"):
        with started(compiled("stopped.c", folder, *flags.split())) as pid:
            time.sleep(0.1)
            for _ in range(40):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(0.01)
                count.process(f"stopped {flags}", pid)
                os.kill(pid, signal.SIGCONT)
                time.sleep(random.uniform(0.003, 0.007))


def main() -> int:
    """Print the counts."""
    count = Count()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, command in processes(folder):
            with suppress(AssertionError, FileNotFoundError), running(*command) as pid:
                count.process(label, pid)
        stopped(folder, count)
    complete, wrong = count.states["complete"], count.states["complete, but not so"]
    programs = f"{count.seen} states of {len(count.programs)} programs"
    tell(f"{programs}: {sum(count.states.values())} stacks, {count.frames} frames")
    tell(f"{complete} of {complete + wrong} complete stacks are equal to eu-stack's")
    tell(f"{count.states['complete, eu-stack ends earlier']} where eu-stack ends earlier")
    tell(f"{count.states['never twice the same']} states that never were twice the same")
    tell(f"{count.false} frames that eu-stack does not see")
    for reason, number in count.reasons.most_common():
        tell(f"{number:6} not complete: {reason}")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
