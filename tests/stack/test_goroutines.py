"""Goroutines against what the runtime prints of them when it gets SIGQUIT."""

from __future__ import annotations

import os
import random
import re
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.decoding.view import Machine
from procmirror.stack.elf import BROKEN
from procmirror.stack.goroutine_layouts import LAYOUTS
from procmirror.stack.goroutines import MOST_GOROUTINES, Program
from procmirror.stack.process import Process
from procmirror.stack.thread_stack import Stacks
from procmirror.stack.user_side import GoroutineStack
from procmirror.views.pid import stack
from tests.harness import DEADLINE, load, until
from tests.live_target import LiveTarget
from tests.stack.crafted import Crafted
from tests.stack.targets import PROGRAMS, available

PLAIN: tuple[str, ...] = ()
STRIPPED = ("-ldflags=-s -w",)
FUNCTIONS = ("receives", "sends", "selects", "sleeps", "locks", "waits", "accepts", "reads")
_HEAD = re.compile(r"goroutine (\d+) (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[([^\],]*)")


class Told(NamedTuple):
    """What the runtime says of a goroutine."""

    words: str
    functions: list[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the packages of all programs are kept."""
    return tmp_path_factory.mktemp("go")


def built(folder: Path, *flags: str) -> str:
    """The program with goroutines that wait in all the usual ways."""
    program = str(folder / "goroutines")
    env = {"PATH": os.environ["PATH"], "GOCACHE": str(folder), "GO111MODULE": "off"}
    command = [available("go"), "build", *flags, "-o", program, str(PROGRAMS / "goroutines.go")]
    subprocess.run(command, check=True, env=env)
    return program


def told(dump: str) -> dict[int, Told]:
    """The goroutines of a traceback, those of the runtime too (GOTRACEBACK=system)."""
    found = {}
    for block in dump.split("\n\n"):
        head = _HEAD.match(block.strip())
        if head and head[1] != "0":
            lines = block.strip().splitlines()[1:]
            # An inlined function, which has no frame, is printed as `name(...)`.
            calls = [
                one
                for one in lines
                if not one.startswith(("\t", "created by")) and not one.endswith("(...)")
            ]
            found[int(head[1])] = Told(head[2], [one.rpartition("(")[0] for one in calls])
    return found


def both(program: str) -> tuple[dict[int, GoroutineStack], dict[int, Told], Stacks]:
    """What the view says of a running program, and what the runtime then says of it."""
    env = {"PATH": os.environ["PATH"], "GOTRACEBACK": "system"}
    with subprocess.Popen([program], stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            found = until(lambda: all_begun(process.pid), "the goroutines do not begin")
            process.send_signal(signal.SIGQUIT)
            _, dump = process.communicate(timeout=DEADLINE * load())
        finally:
            process.kill()
    assert found.goroutines
    return {one.goid: one for one in found.goroutines.shown}, told(dump), found


def all_begun(pid: int) -> Stacks | None:
    """The stacks of the program, when each goroutine is in its function."""
    found = stack.join(LiveTarget(f"/proc/{pid}"), Machine())
    shown = found.goroutines.shown if found.goroutines else []
    named = {frame.symbol for one in shown for frame in one.frames}
    return found if {f"main.{name}" for name in FUNCTIONS} <= named else None


@pytest.mark.parametrize("flags", [PLAIN, STRIPPED], ids=["symbols", "stripped"])
def test_every_goroutine_is_as_the_runtime_prints_it(folder: Path, flags: tuple[str, ...]) -> None:
    ours, theirs, _ = both(built(folder, *flags))
    assert len(theirs) > len(FUNCTIONS)
    assert {number: one.wait_reason or one.state for number, one in ours.items()} == {
        number: one.words for number, one in theirs.items()
    }
    for number, one in theirs.items():
        assert [frame.symbol for frame in ours[number].frames] == one.functions
        assert ours[number].complete and ours[number].reason is None


def test_a_program_without_build_information(folder: Path) -> None:
    """As programs of npm are built: the version is in a variable of the runtime only."""
    program = built(folder, *STRIPPED)
    bare = str(folder / "bare")
    subprocess.run(["objcopy", "--remove-section=.go.buildinfo", program, bare], check=True)
    sections = subprocess.run(["readelf", "-SW", bare], capture_output=True, check=True)
    assert b"buildinfo" not in sections.stdout
    ours, theirs, _ = both(bare)
    assert {number: one.wait_reason or one.state for number, one in ours.items()} == {
        number: one.words for number, one in theirs.items()
    }


def test_the_text_has_a_traceback_of_each(folder: Path) -> None:
    *_, found = both(built(folder, *PLAIN))
    text = "".join(stack.text(found, Machine()))
    assert re.search(
        r"\ngoroutine \d+ \[chan receive\]\n"
        r"    #0 +runtime\.gopark\+.*\n(?:    #.*\n)*?    #\d+ +main\.receives\+\S+ .*goroutines\.go:\d+\n"
        r"(?:    #\d+ +main\.deeper.*\n){6}(?:    #\d+ +main\..*\n)*    #\d+ +runtime\.goexit.*\n    \(complete\)\n",
        text,
    )
    assert "\ngoroutine 1 [select (no cases)]\n" in text


def test_a_thread_of_its_own_has_no_goroutines(folder: Path) -> None:
    with subprocess.Popen([built(folder, *PLAIN)]) as process:
        time.sleep(0.3)
        thread = stack.join(LiveTarget(f"/proc/{process.pid}/task/{process.pid}"), Machine())
        process.kill()
    assert thread.goroutines is None


BASE = 0x10000
MAPS = b"10000-90000 rw-p 00000000 00:00 0 \n"


def program(content: bytes, version: int) -> Program:
    """A program whose memory, from the list of goroutines on, is this."""
    process = Process(Crafted(MAPS, content, BASE))
    return Program(process, None, LAYOUTS[version], BASE)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 1 << 32), st.sampled_from(sorted(LAYOUTS)), st.integers(0, 40))
def test_any_memory_is_read_without_harm(seed: int, version: int, count: int) -> None:
    chance = random.Random(seed)
    words = [
        chance.choice([0, 4, 1 << 63, BASE + 8 * chance.randrange(4096), chance.getrandbits(64)])
        for _ in range(4096)
    ]
    words[:2] = [BASE + 16, count]
    words[2 : 2 + count] = [BASE + chance.randrange(32000) for _ in range(count)]
    try:
        found, more = program(struct.pack("<4096Q", *words), version).goroutines(9.0)
    except BROKEN:
        return
    assert len(found) + more <= count


def listed(states: list[int], version: int = 19) -> bytes:
    """Goroutines without a stack in these states."""
    size, first = 256, 16 + 8 * len(states)
    content = bytearray(first + size * len(states))
    struct.pack_into("<QQ", content, 0, BASE + 16, len(states))
    for at, state in enumerate(states):
        where = first + size * at
        struct.pack_into("<Q", content, 16 + 8 * at, BASE + where)
        struct.pack_into("<I", content, where + LAYOUTS[version].status, state)
        struct.pack_into("<Q", content, where + LAYOUTS[version].number, at + 1)
        content[where + LAYOUTS[version].reason] = 2
    return bytes(content)


def test_those_that_have_ended_are_not_shown_and_a_scan_changes_no_state() -> None:
    found, more = program(listed([4, 6, 0x1004, 2, 11, 99]), 19).goroutines(9.0)
    assert [(one.number, one.state, one.wait) for one in found] == [
        (1, "waiting", "IO wait"),
        (3, "waiting", "IO wait"),
        (4, "running", None),
        (6, "99", None),
    ]
    assert more == 0


def test_of_very_many_the_first_are_shown_and_the_others_counted() -> None:
    found, more = program(listed([4] * (MOST_GOROUTINES + 7)), 19).goroutines(9.0)
    assert (len(found), more) == (MOST_GOROUTINES, 7)
    found, more = program(listed([4] * 100), 19).goroutines(0.0105)
    assert len(found) == 10 and len(found) + more == 100
