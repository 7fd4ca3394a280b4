"""The user frames against those of eu-stack, which stops the process to get them.

Ours are read first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import until
from tests.stack.targets import (
    PROGRAMS,
    asleep,
    available,
    built_go,
    compared,
    compiled,
    named,
    running,
    seen,
)

WAYS = [
    "recursion",
    "deep",
    "many",
    "vectors",
    "pointers",
    "qsort",
    "signal",
    "altstack",
    "handler",
    "handler_apart",
    "stdio",
    "system",
    "pause",
]
DYNAMIC = ["alloca", "alloca_leaf", "vla", "vla_leaf", "qsort_alloca", "main_alloca"]
FLAGS = {
    "optimised": ["-O2"],
    "stripped": ["-O2", "-s"],
    "unoptimised": ["-O0"],
    "at fixed addresses": ["-O0", "-no-pie", "-fno-pie"],
    "static": ["-O2", "-static"],
    "vectors": ["-O0", "-mavx2"],
}
COMMANDS = {
    "sleep": ["sleep", "1000"],
    "nc": ["nc", "-l", "127.0.0.1", "4881"],
    "bash": ["bash", "-c", "read x; true"],
    "bash waits": ["bash", "-c", "sleep 1000 & wait"],
    "dash": ["dash", "-c", "read x; true"],
    "cat": ["cat"],
    "perl": ["perl", "-e", "sub f { my $n = shift; $n ? f($n - 1) : <STDIN> } f(20)"],
    "redis": ["redis-server", "--port", "4882", "--save", ""],
    "node": ["node", "-e", "setTimeout(() => {}, 1e6)"],
    "node in JavaScript": [
        "node",
        "-e",
        "function f(n) { return n ? f(n - 1) : fs.readSync(0, Buffer.alloc(1)) }; f(5)",
    ],
}
THREADS = (
    "import threading, time\n"
    "for _ in range(5): threading.Thread(target=time.sleep, args=(1000,)).start()"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("programs")
    yield made
    shutil.rmtree(made)


def same_frames(pid: int) -> None:
    found, all_of_them, false = compared(pid)
    assert all_of_them > 2
    assert (found, false) == (all_of_them, 0), {thread.reason for thread in seen(pid).values()}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command(command: list[str]) -> None:
    with running(available(command[0]), *command[1:]) as pid:
        same_frames(pid)


def test_python_with_threads() -> None:
    with running(available("python3"), "-c", THREADS, threads=6) as pid:
        same_frames(pid)


@pytest.mark.root
def test_nginx_and_its_workers(tmp_path: Path) -> None:
    settings = tmp_path / "nginx.conf"
    server = "events {} http { server { listen 127.0.0.1:4883; } }"
    settings.write_text(
        f"pid {tmp_path}/pid; error_log stderr; daemon off; worker_processes 2; {server}",
        encoding="utf-8",
    )
    with running(available("nginx"), "-c", str(settings)) as pid:
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        assert len(workers) == 2
        for one in [pid, *map(int, workers)]:
            same_frames(one)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_the_ways_of_c_to_have_frames(flags: list[str], folder: Path) -> None:
    program = compiled("frames.c", folder, *flags)
    for way in WAYS:
        with running(program, way) as pid:
            same_frames(pid)


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_frames_of_a_size_that_only_run_time_knows(flags: list[str], folder: Path) -> None:
    program = compiled("frames.c", folder, *flags)
    for way in DYNAMIC:
        with running(program, way) as pid:
            found, all_of_them, false = compared(pid)
            (thread,) = seen(pid).values()
        # What is found by search may not be a frame, and says so.
        unsure = sum(frame.mark == "unsure" for frame in thread.user or ())
        assert found >= 2, way
        assert false <= (unsure if "-static" in flags else 0), way
        # Where alloca moved SP in a function that calls itself, nothing tells its own return
        # address from one that an earlier call left.
        assert found == all_of_them or not thread.complete, way


def test_a_repaired_frame_says_so(folder: Path) -> None:
    with running(compiled("frames.c", folder, "-O0"), "alloca") as pid:
        (thread,) = seen(pid).values()
    assert thread.complete
    # leaf() keeps a frame pointer that is unknown: its caller is found by its prologue, and from
    # there on the rules suffice.
    frames = list(dict.fromkeys(named(thread)))
    assert frames == [
        "__read",
        "leaf",
        "with_alloca",
        "main",
        "__libc_start_call_main",
        "__libc_start_main",
        "_start",
    ]
    marks = [frame.mark for frame in thread.user or ()]
    inner = len(marks) - len(named(thread))
    assert marks[inner : inner + 4] == ["proven", "proven", "repaired", "proven"]


@pytest.mark.parametrize(
    "flags", [["-O2"], ["-O0"], ["-O2", "-s"], ["-O2", "-static"]], ids=" ".join
)
def test_threads_of_cpp(flags: list[str], folder: Path) -> None:
    with running(compiled("threads.cpp", folder, *flags), "2", threads=13) as pid:
        same_frames(pid)


@pytest.mark.root
def test_a_main_thread_that_has_ended_before_the_others(folder: Path) -> None:
    with running(compiled("frames.c", folder, "-O2"), "orphan", threads=2) as pid:
        threads = seen(pid)
    main, other = threads.pop(pid), *threads.values()
    assert (main.state, main.user) == ("Z (zombie)", [])
    assert other.complete
    assert [frame.symbol for frame in other.user or ()].count("recursion") == 6


@pytest.mark.root
def test_a_deleted_program(folder: Path) -> None:
    gone = str(folder / "gone")
    shutil.copy(compiled("frames.c", folder, "-O2"), gone)
    with running(gone, "recursion") as pid:
        os.unlink(gone)
        same_frames(pid)
        (thread,) = seen(pid).values()
    assert [frame.symbol for frame in thread.user or ()].count("recursion") == 21


@pytest.mark.root
def test_a_program_that_only_its_mount_namespace_has(folder: Path) -> None:
    program = compiled("frames.c", folder, "-O2")
    script = f"mount -t tmpfs none /mnt && cp {program} /mnt/hidden && exec /mnt/hidden recursion"
    with running("unshare", "-m", "sh", "-c", script) as pid:
        # The shell before it sleeps, too, while it mounts and copies.
        until(
            lambda: Path(f"/proc/{pid}/comm").read_text("ascii") == "hidden\n", "it does not begin"
        )
        asleep(pid)
        assert not Path("/mnt/hidden").exists()
        (thread,) = seen(pid).values()
    assert thread.complete
    assert named(thread) == [
        "__read",
        "leaf",
        *["recursion"] * 21,
        "main",
        "__libc_start_call_main",
        "__libc_start_main",
        "_start",
    ]


def test_go_by_its_own_table(folder: Path) -> None:
    with running(built_go(folder)) as pid:
        threads = list(seen(pid).values())
    assert {thread.reason for thread in threads} <= {None, "the Go runtime switched stacks here"}
    assert all(
        frame.file and frame.mark == "proven" for thread in threads for frame in thread.user or ()
    )
    (main,) = [
        thread
        for thread in threads
        if any(frame.symbol == "main.main" for frame in thread.user or ())
    ]
    found = [
        (frame.symbol, (frame.file or "").rpartition("/")[2], frame.line)
        for frame in main.user or ()
    ]
    source = (PROGRAMS / "blocked.go").read_text(encoding="utf-8").splitlines()
    lines = [
        at
        for at, line in enumerate(source, 1)
        if "// here" in line or "+ 1 }" in line or "println" in line
    ]
    functions = ["main.innermost", "main.middle", "main.outermost", "main.main"]
    wanted = [
        (function, "blocked.go", line) for function, line in zip(functions, lines, strict=True)
    ]
    at = found.index(wanted[0])
    assert found[at : at + 4] == wanted
    assert main.complete
    assert found[-1][0] == "runtime.goexit"


def test_nothing_is_invented_without_unwind_data(folder: Path) -> None:
    program = compiled(
        "frames.c", folder, "-O2", "-fno-asynchronous-unwind-tables", "-fcf-protection=none"
    )
    with running(program, "recursion") as pid:
        (thread,) = seen(pid).values()
    assert named(thread) == ["__read", "leaf"]
    assert (thread.complete, thread.reason) == (False, "no unwind data")
