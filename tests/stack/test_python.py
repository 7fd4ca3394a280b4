"""The functions of Python of blocked threads, against what the interpreter itself says of them."""

from __future__ import annotations

import glob
import json
import os
import random
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.decoding.view import Machine
from procmirror.stack.interpreted import MOST_FRAMES, MOST_WALKED
from procmirror.stack.process import Process
from procmirror.stack.python import Interpreter
from procmirror.stack.python_layouts import DEBUG_OFFSETS, LAYOUTS, described
from procmirror.stack.python_objects import MOST_TEXT
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.user_side import PythonFrame
from procmirror.views.pid import stack
from tests.harness import until
from tests.stack.crafted import Crafted
from tests.stack.targets import PROGRAMS, running, seen

KNOWN = range(9, 16)
# The one that runs the tests, that of the system, and those of pyenv where they are installed.
PYTHONS = sorted(
    {
        sys.executable,
        "/usr/bin/python3",
        *glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3")),
    }
)
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def minor(python: str) -> int:
    """The version by the library next to it."""
    real = Path(python).resolve().name
    return int(real.rpartition(".")[2]) if real[-1].isdigit() and "." in real else 0


def told(path: Path) -> dict[int, list[list[object]]]:
    """What the program says of its threads."""
    said = until(lambda: path.read_bytes() if path.exists() else b"", "the program says nothing")
    return {int(tid): frames for tid, frames in json.loads(said).items()}


def shown(frames: list[PythonFrame]) -> list[list[object]]:
    return [[frame.function, frame.file, frame.line] for frame in frames]


@pytest.mark.parametrize("python", [one for one in PYTHONS if minor(one) in KNOWN])
def test_every_thread_as_the_interpreter_says(python: str, tmp_path: Path) -> None:
    program = str(PROGRAMS / "frames.python")
    with running(python, program, str(tmp_path / "told"), threads=7) as pid:
        wanted = told(tmp_path / "told")
        threads = seen(pid)
    assert len(wanted) == 6
    for tid, frames in wanted.items():
        ours = threads[tid].python
        assert ours is not None
        whole = [
            [name, file if len(file) <= MOST_TEXT else file[:MOST_TEXT] + "…", line]
            for name, file, line in frames
            if isinstance(file, str)
        ]
        assert shown(ours) == whole
        natives = [frame.native for frame in ours]
        user = threads[tid].user or []
        # A distribution may take the name of the function that executes from its interpreter.
        assert (None in natives) != any("EvalFrame" in (frame.symbol or "") for frame in user)
        assert natives == sorted(natives, key=lambda at: at or 0)
        assert all("EvalFrame" in (user[at].symbol or "") for at in natives if at is not None)


def test_names_are_escaped_in_the_text(tmp_path: Path) -> None:
    program = str(PROGRAMS / "frames.python")
    with running(sys.executable, program, str(tmp_path / "told"), threads=7) as pid:
        told(tmp_path / "told")
        threads = list(seen(pid).values())
    text = "".join(stack.text(Stacks(pid, 0, threads), Machine()))
    assert "a\\n\\x1b[31mb" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_process_without_python_has_none() -> None:
    with running("sleep", "1000") as pid:
        (thread,) = seen(pid).values()
    assert thread.python is None


def test_frames_that_no_native_frame_belongs_to_follow_at_the_end() -> None:
    frames = [PythonFrame("f", "x.py", 3, None), PythonFrame("g", "x.py", None, None)]
    thread = ThreadStack(
        *(7, "x", "S", None, None, None, [], False, 0, frames),
        complete=False,
        reason="no unwind data",
    )
    text = "".join(stack.text(Stacks(7, 0, [thread]), Machine()))
    assert text.endswith(
        "  user\n      py  f  x.py:3\n      py  g  x.py:?\n    (no unwind data)\n"
        "    (py a function of Python)\n"
    )


BASE = 0x10000
MAPS = b"10000-30000 rw-p 00000000 00:00 0 \n"


@SLOW
@given(seed=st.integers(0, 1 << 32), version=st.sampled_from(sorted(LAYOUTS)))
def test_any_memory_is_read_without_harm(seed: int, version: int) -> None:
    chance = random.Random(seed)
    words = [
        chance.choice(
            [0, 1, 7, 1 << 63, BASE + 8 * chance.randrange(0x4000), chance.getrandbits(64)]
        )
        for _ in range(0x4000)
    ]
    process = Process(Crafted(MAPS, struct.pack(f"<{len(words)}Q", *words), BASE))
    python = Interpreter(process, BASE, LAYOUTS[version], version)
    for thread in (0, 1, 7, BASE):
        found = python.functions(thread)
        shown = found.shown if found else []
        assert len(shown) <= MOST_WALKED  # of an entry from C nothing is looked up
        assert len([one for one in shown if one.name]) <= MOST_FRAMES
        assert all(len(one.name) <= MOST_TEXT + 1 for one in shown)


def test_frames_in_a_circle_end() -> None:
    layout = LAYOUTS[10]
    memory = bytearray(0x20000)

    def put(at: int, value: int) -> None:
        memory[at - BASE : at - BASE + 8] = struct.pack("<Q", value)

    put(BASE + layout.interpreters, BASE + 0x1000)
    put(BASE + 0x1000 + layout.threads, BASE + 0x2000)
    put(BASE + 0x2000 + layout.pthread, BASE + 0x3000)
    put(BASE + 0x3000 + 720, 7)
    put(BASE + 0x2000 + layout.current, BASE + 0x4000)
    put(BASE + 0x4000 + layout.previous, BASE + 0x4000)
    put(BASE + 0x4000 + layout.code, BASE + 0x5000)
    for at in (layout.name, layout.filename):
        put(BASE + 0x5000 + at, BASE + 0x6000)
    put(BASE + 0x5000 + layout.linetable, BASE + 0x7000)
    put(BASE + 0x6000 + layout.length, 1 << 40)
    put(BASE + 0x6000 + layout.state, 1 << 2 | 1 << 5 | 1 << 6)
    python = Interpreter(Process(Crafted(MAPS, bytes(memory), BASE)), BASE, layout, 10)
    found = python.functions(7)
    assert found is not None
    assert (len(found.shown), len(found.shown[0].name)) == (MOST_FRAMES, MOST_TEXT + 1)
    assert found.omitted == MOST_WALKED - MOST_FRAMES
    assert found.reason == f"more than {MOST_WALKED} functions"


def test_states_in_a_circle_end() -> None:
    layout = LAYOUTS[12]
    memory = bytearray(0x20000)

    def put(at: int, value: int) -> None:
        memory[at - BASE : at - BASE + 8] = struct.pack("<Q", value)

    put(BASE + layout.interpreters, BASE + 0x1000)
    put(BASE + 0x1000 + layout.interpreter_next, BASE + 0x1000)
    put(BASE + 0x1000 + layout.threads, BASE + 0x2000)
    put(BASE + 0x2000 + layout.thread_next, BASE + 0x2000)
    target = Counted(MAPS, bytes(memory), BASE)
    assert Interpreter(Process(target), BASE, layout, 12).functions(7) is None
    assert target.reads < 100_000


class Counted(Crafted):
    """A process that counts how often its memory is read."""

    reads = 0

    def part(self, path: str, offset: int, size: int) -> bytes:
        self.reads += 1
        return super().part(path, offset, size)


def test_a_description_of_another_version_is_not_believed() -> None:
    raw = b"xdebugpy" + struct.pack("<Q", 0x031000F0) + bytes(DEBUG_OFFSETS)
    assert described(raw) is None
    assert described(b"xdebugpy" + struct.pack("<QQ", 0x030D00F0, 0) + b"\xff" * 600) is None
    assert described(b"") is None


# The first words of `_PyRuntime` in Debian's python3.14 3.14.10-1 and python3.15 3.15.2-1, up to
# those that are read.
DESCRIPTION_3_14 = (
    *(51251952, 0, 316616, 784, 808, 225864, 7280, 7272, 7344, 7360, 7408, 7688, 7672, 7680, 16),
    *(7784, 0, 7800, 7792, 7992, 0, 832, 0, 8, 16, 72, 152, 160, 232, 32, 88, 8, 0, 56, 80, 74, 64),
    *(0, 216, 112, 120, 128, 136, 68, 52, 96, 104, 208, 0, 16, 8, 416, 24, 88, 168, 40, 32, 16, 40),
    *(24, 16, 200, 24, 40, 32, 48, 32, 40, 24, 16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40),
)
DESCRIPTION_3_15 = (
    *(51315440, 0, 346568, 912, 936, 226240, 7272, 7264, 7336, 7352, 7400, 7592, 7576, 7584, 16),
    *(7736, 0, 7752, 7744, 7944, 0, 888, 0, 8, 16, 72, 80, 88, 96, 176, 184, 256, 32, 36, 40, 136),
    *(288, 0, 88, 8, 0, 56, 80, 74, 64, 0, 216, 112, 120, 128, 136, 68, 52, 96, 104, 208, 0, 16, 8),
    *(424, 24, 88, 168, 32, 288, 944, 888, 40, 32, 16, 40, 24, 16, 200, 24, 40, 32, 48, 32, 40, 24),
    *(16, 32, 16, 24, 40, 16, 32, 64, 32, 16, 40),
)


def description(words: tuple[int, ...]) -> bytes:
    return b"xdebugpy" + struct.pack(f"<{len(words)}Q", *words).ljust(DEBUG_OFFSETS, b"\0")


@pytest.mark.parametrize(
    ("words", "native"), [(DESCRIPTION_3_14, 160), (DESCRIPTION_3_15, 184)], ids=["3.14", "3.15"]
)
def test_newer_interpreters_describe_themselves(words: tuple[int, ...], native: int) -> None:
    """The values are those of offsetof() with the headers of each version."""
    found = described(description(words))
    assert found
    assert (found.native, found.current, found.code, found.previous) == (native, 72, 0, 8)
    assert (found.instruction, found.owner, found.filename, found.name) == (56, 74, 112, 128)
    assert (found.linetable, found.firstlineno, found.bytecode) == (136, 68, 208)
    assert (found.ascii, found.compact, found.length, found.state) == (40, 56, 16, 32)
    assert (found.bytes_size, found.bytes_data, found.copies) == (16, 32, None)


def test_a_free_threaded_interpreter_has_copies_of_the_instructions() -> None:
    words = list(DESCRIPTION_3_14)
    words[1], words[48], words[37] = 1, 224, 72
    layout = described(description(tuple(words)))
    assert layout
    assert (layout.kind, layout.copies, layout.copy) == (8, 224, 72)
    memory = struct.pack("<QQQ", 2, 0x5000, 0x6000).rjust(0x118, b"\0").ljust(0x2000, b"\0")
    memory = memory[:224] + struct.pack("<Q", BASE + 0x100) + memory[232:]
    python = Interpreter(Process(Crafted(MAPS, memory, BASE)), BASE, layout, 14)
    frame = bytes(72) + struct.pack("<i", 1) + bytes(20)
    assert python._bytecode(BASE, frame) == 0x6000


def test_an_interpreter_in_a_program_of_another_name(tmp_path: Path) -> None:
    """As a server has one inside that runs Python."""
    python = next(one for one in PYTHONS if minor(one) >= 12)
    program = tmp_path / "server"
    program.write_bytes(Path(python).resolve().read_bytes())
    program.chmod(0o755)
    script = "def waits():\n    input()\nwaits()"
    home = str(Path(python).resolve().parent.parent)
    with running("env", f"PYTHONHOME={home}", str(program), "-Sc", script) as pid:
        (thread,) = seen(pid).values()
    names = [(one.function, one.line) for one in thread.python or ()]
    assert names == [("waits", 2), ("<module>", 3)]
