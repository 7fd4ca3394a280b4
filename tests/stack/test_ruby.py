"""The functions of Ruby of blocked threads, against what Ruby itself says of them."""

from __future__ import annotations

import json
import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.decoding.view import Machine
from procmirror.stack.checked_memory import MOST_BYTES, CheckedMemory, ContradictionError
from procmirror.stack.elf import BROKEN
from procmirror.stack.interpreted import MOST_FRAMES
from procmirror.stack.process import Process
from procmirror.stack.ruby import Ruby, _Frame
from procmirror.stack.ruby_layouts import LAYOUTS
from procmirror.stack.ruby_lines import row
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.views.pid import stack
from procmirror.views.pid.stack_folded import folded
from tests.harness import until
from tests.stack.crafted import Crafted
from tests.stack.targets import PROGRAMS, available, running, seen

# Functions that are written in C: Ruby lists them with the line of their caller.
OF_C = {"each", "eval", "map", "pop", "read", "sleep", "sort_by", "times"}
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
BASE = 0x10000
MAPS = b"10000-30000 rw-p 00000000 00:00 0 \n"


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[object], ThreadStack]]:
    """What Ruby says of each thread, and what the view says of it."""
    told = tmp_path_factory.mktemp("ruby") / "told"
    with running(available("ruby"), str(PROGRAMS / "frames.rb"), str(told), threads=7) as pid:
        wanted = json.loads(until(lambda: told.read_text() if told.exists() else None))
        found = seen(pid)
    return [(frames, found[int(tid)]) for tid, frames in wanted.items()]


def test_every_thread_as_ruby_says(threads: list[tuple[list[list[object]], ThreadStack]]) -> None:
    assert len(threads) == 6
    for wanted, thread in threads:
        ours = [[one.function, one.file, one.line] for one in thread.interpreted or ()]
        assert ours == [frame for frame in wanted if frame[0] not in OF_C]


def test_each_run_of_functions_stands_at_the_frame_that_executes_it(
    threads: list[tuple[object, ThreadStack]],
) -> None:
    for _, thread in threads:
        natives = [one.native for one in thread.interpreted or ()]
        assert None not in natives
        assert natives == sorted(natives, key=lambda at: at or 0)
        executing = [at for at, one in enumerate(thread.user or ()) if one.symbol == "rb_vm_exec"]
        assert set(natives) == set(executing)


def test_names_are_escaped(threads: list[tuple[object, ThreadStack]]) -> None:
    stacks = Stacks(7, 0, [thread for _, thread in threads])
    text = "".join(stack.text(stacks, Machine()))
    lines = [*folded(stacks, Machine())]
    assert "rb  block in <main>" in text
    assert "long\\n\\x1b[31m.rb:407" in text
    assert any(r";block in <main> (long\n\x1b[31m.rb:407)" in line for line in lines)
    assert "\x1b" not in text + "".join(lines)
    assert len(lines) == 6


@SLOW
@given(seed=st.integers(0, 1 << 32), version=st.sampled_from(sorted(LAYOUTS)))
def test_any_memory_is_read_without_harm(seed: int, version: int) -> None:
    chance = random.Random(seed)
    words = [
        chance.choice([0, 5, 7, 1 << 63, BASE + 8 * chance.randrange(0x4000), BASE])
        for _ in range(0x4000)
    ]
    # A main thread of this virtual machine, so that something is read at all.
    words[4:6] = [BASE + 0x8000, BASE + 0x1000]
    words[0x200 + 3 : 0x200 + 5] = [BASE + 0x8000, BASE]
    process = Process(Crafted(MAPS, struct.pack(f"<{len(words)}Q", *words), BASE))
    ruby = Ruby(process, BASE, LAYOUTS[version])
    for thread in (0, 5, 7, BASE):
        try:
            found = ruby.functions(thread)
        except BROKEN:
            continue
        assert found is None or len(found.shown) <= MOST_FRAMES


@given(begins=st.sets(st.integers(1, 2000), max_size=300))
def test_rows_of_lines_are_found_as_they_were_counted(begins: set[int]) -> None:
    """The table is written as `succ_index_table_create` of iseq.c writes it."""
    begins = {0, *begins}
    counts = [sum(one <= at for one in begins) for at in range(2048)]
    if counts[53] > 127:
        return
    words = [sum(counts[9 * word + one] << 7 * one for one in range(9)) for word in range(6)]
    table = struct.pack("<6Q", *words)
    for first in range(54, 2048 - 512, 512):
        bits = [
            sum((first + 64 * word + one in begins) << one for one in range(64))
            for word in range(8)
        ]
        before = [sum(each.bit_count() for each in bits[: word + 1]) for word in range(7)]
        ranks = sum(count << 9 * word for word, count in enumerate(before))
        table += struct.pack("<IIQ8Q", counts[first - 1], 0, ranks, *bits)
    memory = CheckedMemory(Process(Crafted(MAPS, table.ljust(0x20000, b"\0"), BASE)))
    for at in range(0, 1500, 7):
        assert row(memory, BASE, at) == counts[at]


@pytest.mark.parametrize(("minor", "name"), [(3, "rescue in f"), (4, "f")])
def test_since_3_4_a_part_of_a_function_is_called_as_the_whole(
    minor: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The body of a rescue has that of its function at 160, in both (vm_core.h)."""
    words = dict.fromkeys(range(0x4000), 0)
    texts = {0x100: b"f", 0x110: b"rescue in f"}
    for at, text in texts.items():
        words |= {at: 5, at + 2: len(text)}
        words |= {at + 3 + one: int.from_bytes(text[8 * one :][:8], "little") for one in range(2)}
    rescue, method = 0x200, 0x300
    for sequence, kind, label in ((rescue, 4, 0x110), (method, 1, 0x100)):
        body = sequence + 8
        words |= {sequence + 2: BASE + 8 * body, body: kind, body + 8: BASE + 8 * 0x100}
        words |= {body + 10: BASE + 8 * label, body + 20: BASE + 8 * method}
    memory = struct.pack("<16384Q", *words.values())
    ruby = Ruby(Process(Crafted(MAPS, memory, BASE)), BASE, LAYOUTS[minor])
    assert ruby._sequence(BASE + 8 * rescue).name == name
    frames = [_Frame(BASE + 8 * rescue, 0, entry=False), _Frame(BASE + 8 * method, 0, entry=True)]
    monkeypatch.setattr(ruby, "_controls", lambda _: iter(frames))
    found = [(ruby._function(one).name, one.entry) for one in ruby._frames(BASE)]
    assert found == ([(name, True)] if minor == 4 else [(name, False), ("f", True)])


def test_functions_within_each_other_without_end_are_none() -> None:
    words = [4, 0, BASE, *[BASE] * 18, *[0] * 0x3000]
    ruby = Ruby(
        Process(Crafted(MAPS, struct.pack(f"<{len(words)}Q", *words), BASE)), BASE, LAYOUTS[4]
    )
    with pytest.raises(ContradictionError, match="part of a function"):
        ruby._whole(BASE)


def test_there_is_an_end_to_what_is_read() -> None:
    class Endless(Crafted):
        def part(self, path: str, offset: int, size: int) -> bytes:
            del path, offset
            return bytes(size)

    memory = CheckedMemory(Process(Endless(MAPS, b"", BASE)))
    for page in range(0x10000, 0x10000 + MOST_BYTES, 4096):
        memory.word(page)
    with pytest.raises(ContradictionError, match="too much"):
        memory.word(0x10000 + MOST_BYTES)
