"""The functions of PHP of blocked programs, against what PHP itself says of them."""

from __future__ import annotations

import json
import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procmirror.decoding.view import Machine
from procmirror.stack.checked_memory import CheckedMemory
from procmirror.stack.elf import BROKEN
from procmirror.stack.interpreted import MOST_FRAMES
from procmirror.stack.php import Php
from procmirror.stack.process import Process
from procmirror.stack.thread_stack import Stacks
from procmirror.views.pid import stack
from tests.harness import until
from tests.stack.crafted import Crafted
from tests.stack.targets import PROGRAMS, asleep, available, seen, started

KINDS = ("method", "callback", "included", "evaluated")
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
BASE = 0x10000
MAPS = b"10000-30000 rw-p 00000000 00:00 0 \n"


@pytest.mark.parametrize("kind", KINDS)
def test_every_function_as_php_says(kind: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    with started(available("php"), "-n", str(PROGRAMS / "frames.php"), kind, str(told)) as pid:
        wanted = json.loads(until(lambda: told.read_text() if told.exists() else None))
        asleep(pid)
        (thread,) = seen(pid).values()
    ours = thread.interpreted or []
    # PHP tells a function with the place that calls it, and none for a call by C.
    calls = [
        [one.function.replace("->", "::"), caller.file, caller.line]
        for one, caller in pairwise(ours)
    ]
    assert calls[0] == ["sleep", str(PROGRAMS / "frames.php"), 14]
    names = {"include": "{included}", "eval": "{included}"}
    assert calls[1:] == [
        ["::".join(filter(None, (owner, names.get(name, name)))), file, line]
        for owner, name, file, line in wanted
    ]
    assert ours[-1].function == "{main}"
    natives = [one.native for one in ours]
    executing = [at for at, one in enumerate(thread.user or ()) if one.symbol == "execute_ex"]
    assert sorted({at for at in natives if at is not None}) == executing
    assert natives == sorted(natives, key=lambda at: at or 0)
    text = "".join(stack.text(Stacks(pid, 0, [thread]), Machine()))
    assert "php  Some\\Space\\told" in text


def test_what_resumed_a_generator_of_a_generator_is_below_it(tmp_path: Path) -> None:
    """PHP keeps an empty frame there, and puts the outer generator in only when it looks itself."""
    told = tmp_path / "told"
    with started(
        available("php"), "-n", str(PROGRAMS / "frames.php"), "delegated", str(told)
    ) as pid:
        until(told.exists)
        asleep(pid)
        (thread,) = seen(pid).values()
    names = [one.function.rpartition("\\")[2] for one in thread.interpreted or []]
    assert names[0] == "sleep" and names[-2:] == ["Outer::generated", "{main}"]


@SLOW
@given(seed=st.integers(0, 1 << 32))
def test_any_memory_is_read_without_harm(seed: int) -> None:
    chance = random.Random(seed)
    words = [
        chance.choice([0, 1, 2, 1 << 63, BASE + 8 * chance.randrange(0x3000), BASE])
        for _ in range(0x4000)
    ]
    memory = CheckedMemory(Process(Crafted(MAPS, struct.pack(f"<{len(words)}Q", *words), BASE)))
    for at in range(0, 0x400, 8):
        try:
            assert len(Php(memory, BASE + at, 152).functions(7).shown) <= MOST_FRAMES
        except BROKEN:
            continue
