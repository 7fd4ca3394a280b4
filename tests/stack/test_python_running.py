"""The functions of Python of threads that run, which no reading may mix from two moments unmarked."""

from __future__ import annotations

import glob
import os
import random
import sys
from collections import Counter

import pytest

from procmirror.decoding.render import content_of
from procmirror.decoding.view import Machine
from procmirror.mirror.siblings import view_named
from procmirror.stack.process import Process
from procmirror.stack.python import Interpreter
from procmirror.stack.python_layouts import LAYOUTS
from procmirror.stack.python_running import PAGE, TRIES, Pages, agreed
from procmirror.views.pid import stack
from tests.live_target import LiveTarget
from tests.stack.crafted import Crafted
from tests.stack.targets import PROGRAMS, started

PYTHONS = [sys.executable, *glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[23]*/bin/python3"))]
CHAINS = {
    ("main",),
    ("left", "main"),
    ("leaf", "left", "main"),
    ("right", "main"),
    ("deeper", "right", "main"),
    ("leaf", "deeper", "right", "main"),
}
MARK = "(py: read three times alike while the thread ran; may be of more than one moment)"


class Unsampled(LiveTarget):
    """A target of which the kernel gives this requester no sample."""

    def sample(self, tid: int, attributes: bytes, seconds: float) -> bytes | None:
        del tid, attributes, seconds
        raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("target", [LiveTarget, Unsampled])
def test_chains_of_calls_are_those_of_the_program(python: str, target: type[LiveTarget]) -> None:
    seen: Counter[tuple[str, ...]] = Counter()
    with started(python, str(PROGRAMS / "calls.python")) as pid:
        tries = 0
        while tries < 2000:
            tries += 1
            if sum(count for chain, count in seen.items() if "main" in chain) >= 30:
                break
            stacks = stack.join(target(f"/proc/{pid}"), Machine())
            (thread,) = stacks.threads
            if thread.python and thread.python_apart:
                names = [one.function for one in thread.python]
                assert {one.native for one in thread.python} == {None}
                assert MARK in "".join(stack.text(stacks, Machine()))
                seen[tuple(names)] += 1
        folded = content_of(view_named("PID/stack"), "folded", stacks, Machine()).decode()
    known = {chain for chain in seen if chain[-1:] == ("<module>",)}
    # The first readings may see it begin. Frames of 3.11 do not forget who called them, and the
    # program puts new ones in the place of old ones all the time: it deceives three readings once
    # in 500 tries on an idle machine.
    mixed = sum(seen[chain] for chain in known if "main" in chain and chain[:-1] not in CHAINS)
    assert mixed <= 3 + tries // 100
    # On a busy machine two readings are seldom of one moment: 24 of 2000 tries were seen.
    assert sum(count for chain, count in seen.items() if "main" in chain) >= 10
    assert "main (" in folded or not thread.python
    assert not (thread.python_apart and "_PyEval" in folded)


def frame(code: int, previous: int, instruction: int) -> bytes:
    return bytes((code, previous, instruction))


def test_readings_that_differ_are_not_believed() -> None:
    def told(raw: bytes) -> tuple[int, ...]:
        return tuple(raw)

    chance = random.Random(1)
    asked = []

    def never(_: object) -> list[bytes]:
        asked.append(1)
        return [frame(len(asked), 2, 3), frame(4, 5, 6)]

    assert agreed(never, lambda _, size: bytes(size), told) is None
    assert len(asked) == TRIES

    def goes_on(_: object) -> list[bytes]:
        return [frame(1, 2, chance.randrange(256)), frame(4, 5, 6)]

    found = agreed(goes_on, lambda _, size: bytes(size), told)
    assert found
    assert [one[0] for one in found] == [1, 4]

    def below(_: object) -> list[bytes]:
        return [frame(1, 2, 3), frame(4, 5, chance.randrange(256))]

    assert agreed(below, lambda _, size: bytes(size), told) is None


def test_a_page_is_read_once() -> None:
    asked: list[int] = []

    def read(address: int, size: int) -> bytes:
        asked.append(address)
        return bytes([address // PAGE]) * size

    pages = Pages(read)
    assert pages.read(PAGE - 2, 4) == bytes([0, 0, 1, 1])
    assert pages.read(PAGE + 8, 8) == bytes([1] * 8)
    assert asked == [0, PAGE]


@pytest.mark.parametrize(("owner", "whole"), [(0, True), (1, False)])
def test_a_generator_without_a_caller_is_left_just_then(
    owner: int, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    """A generator that ends forgets its caller before the thread goes on with that."""
    layout = LAYOUTS[11]
    frame = bytearray(128)
    frame[layout.owner or 0] = owner
    interpreter = Interpreter(Process(Crafted(b"", b"", 0)), 0, layout, 11)
    monkeypatch.setattr(interpreter, "_innermost", lambda *_: 4096)
    monkeypatch.setattr(interpreter, "_chain", lambda *_: [bytes(frame)])
    monkeypatch.setattr(interpreter, "_number", lambda _: 7)
    assert (interpreter._of_running(7, 4096) is not None) is whole
