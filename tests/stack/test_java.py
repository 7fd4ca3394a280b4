"""The methods of Java of blocked threads, against what jstack says of them."""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.decoding.view import Machine
from procmirror.stack.checked_memory import Bytes, CheckedMemory, ContradictionError
from procmirror.stack.elf import BROKEN
from procmirror.stack.hotspot_structs import Structures
from procmirror.stack.interpreted import MOST_FRAMES, InterpretedFrame, placed
from procmirror.stack.java import Java
from procmirror.stack.java_methods import MOST_LINES, unsigned5
from procmirror.stack.languages import Languages
from procmirror.stack.process import Process
from procmirror.stack.repair import WITHOUT_DATA
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.views.pid import stack
from tests.harness import ROOT, until
from tests.live_target import LiveTarget
from tests.programs import ran
from tests.stack.crafted import Crafted
from tests.stack.targets import PROGRAMS, available, seen, started

SLOW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
BASE = 0x10000
MAPS = b"10000-30000 rw-p 00000000 00:00 0 \n"
THREAD = re.compile(r'^"(?:[^"]*)" .*\bnid=(?:0x([0-9a-f]+)|(\d+)) ', re.MULTILINE)
FRAME = re.compile(r"^\tat ([^(\n]+)\((?:[^)/]*/)?([^)]*)\)", re.MULTILINE)


def jstack(pid: int) -> str:
    """What jstack says; on a loaded machine it may wait for ever, and says it the next time."""
    with suppress(AssertionError):
        return jstack_once(pid)
    return jstack_once(pid)


def jstack_once(pid: int) -> str:
    said = ran(available("jstack"), pid)
    assert said.code == 0, said.err
    return said.out


def by_jstack(said: str) -> dict[int, list[tuple[str, str]]]:
    """The methods of each thread with their places, as `File.java:3`."""
    heads = [*THREAD.finditer(said)]
    ends = [*(head.start() for head in heads[1:]), len(said)]
    return {
        int(head[1], 16) if head[1] else int(head[2]): [
            (frame[1], frame[2]) for frame in FRAME.finditer(said[head.end() : end])
        ]
        for head, end in zip(heads, ends, strict=True)
    }


@pytest.fixture(scope="module")
def threads() -> list[tuple[list[tuple[str, str]], ThreadStack]]:
    """What jstack says of each thread with methods, and what the view said of it before."""
    source = str(PROGRAMS / "Frames.java")
    command = [available("java"), "-Xmx64m", "-XX:+UseSerialGC", "-Xshare:auto", source]
    with started(*command) as pid:
        found = until(lambda: settled(pid), "the threads do not block")
        wanted = by_jstack(jstack(pid))
    return [(frames, found[tid]) for tid, frames in wanted.items() if frames]


def settled(pid: int) -> dict[int, ThreadStack] | None:
    """The threads, if the ones that the program starts are blocked and stay so."""
    found, again = seen(pid), seen(pid)
    names = {thread.comm for thread in found.values() if thread.interpreted}
    same = all(thread.interpreted == again[tid].interpreted for tid, thread in found.items())
    return found if same and {"reads", "compiled", "locks", "java"} <= names else None


def test_every_thread_as_jstack_says(
    threads: list[tuple[list[tuple[str, str]], ThreadStack]],
) -> None:
    assert len(threads) >= 9
    for wanted, thread in threads:
        assert ours(thread) == theirs(wanted)


def ours(thread: ThreadStack) -> list[tuple[str, str | None]]:
    """The methods of a thread with their places, as jstack has them."""
    return [
        (one.function, ":".join(map(str, filter(None, (one.file, one.line)))) or None)
        for one in thread.interpreted or ()
    ]


def theirs(wanted: list[tuple[str, str]]) -> list[tuple[str, str | None]]:
    """What jstack says, without its words for no place."""
    return [
        (name, None if at in {"Native Method", "Unknown Source"} else at) for name, at in wanted
    ]


def test_each_method_stands_at_the_frame_that_executes_it(
    threads: list[tuple[object, ThreadStack]],
) -> None:
    for _, thread in threads:
        assert thread.interpreted and thread.user
        natives = [one.native for one in thread.interpreted]
        assert None not in natives
        assert natives == sorted(one or 0 for one in natives)
        assert {thread.user[one or 0].module for one in natives} == {None}
        assert thread.complete


@pytest.mark.parametrize("flags", [["-Xint"], []], ids="-".join)
def test_the_methods_of_a_thread_that_runs(flags: list[str], tmp_path: Path) -> None:
    """Of one sample; a turn may be inlined, and is compiled after a while."""
    source = PROGRAMS / "Busy.java"
    subprocess.run([available("javac"), "-d", tmp_path, source], check=True)
    command = [
        available("java"),
        "-Xmx64m",
        "-XX:+UseSerialGC",
        *flags,
        "-cp",
        str(tmp_path),
        "Busy",
    ]
    outer = [*[("Busy.climb", 17)] * 6, ("Busy.climb", 20), ("Busy.main", 24)]
    outer.insert(0, outer.pop(6))
    with started(*command) as pid:
        until(lambda: functions(pid)[-1:] == ["Busy.main"], "it does not begin")
        threads = [main_thread(pid) for _ in range(30)]
    found = [one for one in threads if one.sampled and one.interpreted]
    assert len(found) > 5
    for thread in found:
        methods = [(one.function, one.line) for one in thread.interpreted or ()]
        names = [name for name, _ in methods]
        inner = names.index("Busy.spin")
        assert names[:inner] in ([], ["Busy.turn"])
        assert methods[inner + 1 :] == outer
    # None of their frames is missing; one more is the entry from C++, one perhaps the turn's.
    complete = [one for one in found if one.complete]
    assert len(complete) > len(found) // 2
    least = len(outer) + 2
    for thread in complete:
        generated = [frame for frame in thread.user or () if frame.module is None]
        assert least <= len(generated) <= least + 1


SLEEPING = ["Mixed.c", "Mixed.b", "Mixed.a", "Mixed.z", "Mixed.main"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The process of methods of the interpreter below and above one that is compiled."""
    folder = tmp_path_factory.mktemp("classes")
    source = PROGRAMS / "Mixed.java"
    subprocess.run([available("javac"), "-d", folder, source], check=True)
    flags = ["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-Inline"]
    with started(available("java"), *flags, "-cp", str(folder), "Mixed") as pid:
        until(lambda: len(functions(pid)) == len(SLEEPING) + 1, "it does not sleep")
        yield pid


def main_thread(pid: int) -> ThreadStack:
    """The thread that runs main: the launcher makes it before all others."""
    tid = sorted(map(int, os.listdir(f"/proc/{pid}/task")))[:2][-1]
    (thread,) = stack.join(LiveTarget(f"/proc/{pid}/task/{tid}"), Machine()).threads
    return thread


def functions(pid: int) -> list[str]:
    return [one.function for one in main_thread(pid).interpreted or ()]


def asleep_in_main(pid: int) -> ThreadStack:
    """The thread that runs main, when it sleeps again: jstack stops all threads for a moment."""

    def whole() -> ThreadStack | None:
        thread = main_thread(pid)
        return thread if len(thread.interpreted or ()) == len(SLEEPING) + 1 else None

    return until(whole, "it does not sleep")


def test_no_frame_is_left_out_around_compiled_code(mixed: int) -> None:
    """Each method has a frame, for none is inlined; the one more is the entry from C++."""

    def by_the_jvm() -> list[list[str]]:
        return [
            [name for name, _ in frames]
            for frames in by_jstack(jstack(mixed)).values()
            if ("Mixed.main", "Mixed.java:32") in frames
        ]

    (wanted,) = until(by_the_jvm, "jstack does not show it")
    assert wanted == ["java.lang.Thread.sleep", *SLEEPING]
    thread = asleep_in_main(mixed)
    assert [one.function for one in thread.interpreted or ()] == wanted
    generated = [at for at, frame in enumerate(thread.user or ()) if frame.module is None]
    assert [one.native for one in thread.interpreted or ()] == generated[:-1]
    assert {frame.mark for frame in thread.user or ()} == {"proven"}
    assert (thread.complete, thread.reason) == (True, None)


def test_a_chain_of_frame_pointers_that_may_leave_frames_out_is_not_complete(
    mixed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the tables of the virtual machine: compiled code keeps no frame pointer."""
    whole = asleep_in_main(mixed)
    monkeypatch.setattr(Languages, "caller", lambda *_: None)
    thread = main_thread(mixed)
    assert len(thread.user or ()) < len(whole.user or ())
    assert (thread.complete, thread.reason) == (False, WITHOUT_DATA)


# What a thread waits for, by the state that jstack tells.
WAITS = {
    "BLOCKED (on object monitor)": "a monitor of Java (synchronized)",
    "WAITING (on object monitor)": "Object.notify of Java",
    "TIMED_WAITING (on object monitor)": "Object.notify of Java",
    "TIMED_WAITING (sleeping)": "the end of Thread.sleep of Java",
    "WAITING (parking)": "to be unparked (LockSupport of Java)",
    "TIMED_WAITING (parking)": "to be unparked (LockSupport of Java)",
}
STATE = re.compile(r"\bnid=(\w+) .*\n +java\.lang\.Thread\.State: (.*)")


def test_the_first_line_says_what_a_thread_of_java_waits_for() -> None:
    with started(available("java"), "-Xmx64m", str(PROGRAMS / "Frames.java")) as pid:
        found = until(lambda: settled(pid), "the threads do not block")
        states = STATE.findall(jstack(pid))
    told = [
        (WAITS[state], found[int(number, 0)].waits_for)
        for number, state in states
        if state in WAITS
    ]
    assert len({words for words, _ in told}) >= 3
    assert [words for words, _ in told] == [(ours or "").partition(",")[0] for _, ours in told]


def test_methods_stand_in_the_text(threads: list[tuple[object, ThreadStack]]) -> None:
    text = "".join(stack.text(Stacks(7, 0, [thread for _, thread in threads]), Machine()))
    assert re.search(r"  java  Frames\.small +Frames\.java:28$", text, re.MULTILINE)


def fields() -> dict[bytes, bool]:
    """The fields that the modules read, and whether each is static."""
    source = "".join(
        (ROOT / f"procmirror/stack/{name}.py").read_text()
        for name in ("java", "java_code", "java_methods")
    )
    found = re.findall(r'(static|address)?\(?[^"(]*b"(\w[\w:<>]*::\w+)"', source)
    named = {name.encode(): bool(static) for static, name in found}
    for one in ("sp", "fp", "pc"):
        named[f"JavaFrameAnchor::_last_Java_{one}".encode()] = False
    for one in ("code_begin", "code_end"):
        named[f"CodeBlob::_{one}".encode()] = False
    for one in ("pc_offset", "scope_decode_offset"):
        named[f"PcDesc::_{one}".encode()] = False
    for one in ("scopes_pcs_offset", "dependencies_offset"):
        named[f"nmethod::_{one}".encode()] = False
    return named


@SLOW
@given(seed=st.integers(0, 1 << 32))
def test_any_memory_is_read_without_harm(seed: int) -> None:
    chance = random.Random(seed)
    words = [
        chance.choice([0, 1, 7, 1 << 63, BASE + 8 * chance.randrange(0x3000), BASE])
        for _ in range(0x4000)
    ]
    memory = CheckedMemory(Process(Crafted(MAPS, struct.pack(f"<{len(words)}Q", *words), BASE)))
    described = Structures.__new__(Structures)
    described.memory = memory
    described._offsets = {
        name: (static, 8 * chance.randrange(16), BASE + 8 * chance.randrange(0x100))
        for name, static in fields().items()
    }
    described._sizes = dict.fromkeys((b"ConstMethod", b"ConstantPool", b"HeapBlock", b"PcDesc"), 16)
    if chance.random() < 0.5:
        del described._offsets[b"nmethod::_immutable_data"]
    java = Java(described, chance.choice((17, 21)))
    for attempt in (
        lambda: java.functions(7),
        lambda: java.running((BASE, bytes(range(256))), dict.fromkeys(range(17), BASE), BASE + 64),
        lambda: java.caller(memory.word, BASE, BASE + 8, BASE + 64),
        lambda: [*java._frames(java._anchored(BASE))],
        lambda: java._code.holding(BASE),
        lambda: java._methods.method(BASE + 64),
        lambda: java._methods.line(BASE, 3),
    ):
        try:
            found = attempt()
        except BROKEN:
            continue
        assert not isinstance(found, list) or len(found) <= 2 * MOST_FRAMES * 256


def test_of_a_stack_only_what_a_sample_has_is_read() -> None:
    """The rest of it is of another moment; the heap is not."""
    maps = MAPS + b"40000-50000 rw-p 00000000 00:00 0 [stack]\n"
    memory = CheckedMemory(Process(Crafted(maps, b"now!" * 0x10000, BASE)))
    memory.begin_sample((0x48000, b"then" * 4))
    assert (memory.read(0x48004, 8), memory.read(BASE, 4)) == (b"thenthen", b"now!")
    for address in (0x47FF0, 0x47FFC, 0x4800C, 0x4F000):
        with pytest.raises(ContradictionError):
            memory.read(address, 8)
    memory.end_sample()
    assert memory.read(0x48004, 8) == b"now!now!"


@pytest.mark.parametrize(
    ("least", "number", "raw"),
    [
        (0, 0, b"\0"),
        (0, 191, b"\xbf"),
        (0, 192, b"\xc0\0"),
        (1, 0, b"\1"),
        (1, 190, b"\xbf"),
        (1, 191, b"\xc0\1"),
    ],
)
def test_numbers_before_and_since_java_20(least: int, number: int, raw: bytes) -> None:
    """The examples of utilities/unsigned5.hpp: since then no byte is 0."""
    rest = iter(raw)
    assert unsigned5(lambda: next(rest), least) == number
    assert not [*rest]


def test_a_number_with_a_byte_of_0_is_none() -> None:
    with pytest.raises(ContradictionError):
        unsigned5(lambda: 0, 1)


def test_a_table_of_lines_without_end_is_none() -> None:
    memory = CheckedMemory(Process(Crafted(MAPS, b"\x09" * 0x20000, BASE)))
    read = Bytes(memory, BASE, MOST_LINES)
    for _ in range(MOST_LINES):
        assert read.one()
    with pytest.raises(ContradictionError):
        read.one()


def test_a_method_of_no_known_frame_stands_where_it_was_called() -> None:
    frames = [
        InterpretedFrame("Java", name, None, None, at)
        for name, at in (("a", 2), ("b", None), ("c", 5))
    ]
    assert [one.native for one in placed(frames)] == [2, 2, 5]
