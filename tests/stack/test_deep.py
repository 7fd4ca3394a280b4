"""Long stacks of interpreted languages, against what the languages themselves say of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procmirror.decoding.view import Machine
from procmirror.stack import interpreted, python
from procmirror.stack.interpreted import INNER, MOST_FRAMES, OUTER, InterpretedFrame
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.user_side import PythonFrame
from procmirror.views.pid import stack
from procmirror.views.pid.stack_folded import folded
from tests.harness import until
from tests.stack.targets import PROGRAMS, available, seen, started

# The command of each language, the functions inside of those that it tells, and those outside.
COMMANDS = {
    "Python": ([sys.executable, "deep.python"], ["told"], []),
    "Ruby": (["ruby", "deep.rb"], ["told"], []),
    "PHP": (["php", "-n", "deep.php"], ["sleep"], ["{main}"]),
    "Java": (["java", "-Xint", "Deep.java"], ["java.lang.Thread.sleep", "Deep.told"], []),
}
MARK = re.compile(" +(?:py|rb|php|java)  ")
EXECUTES = ("_PyEval_EvalFrameDefault", "rb_vm_exec", "vm_exec", "execute_ex")


@contextmanager
def deep(language: str, folder: Path) -> Iterator[tuple[list[str], int]]:
    """The functions that the language tells of a thread, innermost first, and its process."""
    (command, *arguments, script), inner, outer = COMMANDS[language]
    told = folder / "told"
    words = [available(command), *arguments, str(PROGRAMS / script), str(told)]
    with started(*words) as pid:
        wanted = json.loads(until(lambda: told.read_text() if told.exists() else None))
        until(lambda: len(deepest(pid)[1]) == MOST_FRAMES, "it does not block")
        # Ruby lists a function of C with the line of its caller; it has no frame of Ruby.
        yield [*inner, *(one for one in wanted if not one.startswith("each:")), *outer], pid


def deepest(pid: int) -> tuple[ThreadStack, list[PythonFrame | InterpretedFrame]]:
    """The thread with most functions, and these."""
    found = [(one, [*(one.python or ()), *(one.interpreted or ())]) for one in seen(pid).values()]
    return max(found, key=lambda one: len(one[1]))


def same(ours: list[PythonFrame | InterpretedFrame], theirs: list[str]) -> bool:
    """Whether these are the functions that the language tells, and the lines if it tells those."""
    pairs = zip(ours, theirs, strict=True)
    return all(one.function + (f":{one.line}" if ":" in its else "") == its for one, its in pairs)


@pytest.mark.parametrize("language", COMMANDS)
def test_both_ends_of_a_long_stack_are_shown(language: str, tmp_path: Path) -> None:
    with deep(language, tmp_path) as (wanted, pid):
        thread, ours = deepest(pid)
    assert len(wanted) > 3000 and len(ours) == MOST_FRAMES
    assert (thread.functions_omitted, thread.functions_reason) == (len(wanted) - MOST_FRAMES, None)
    assert same(ours[:INNER], wanted[:INNER]) and same(ours[INNER:], wanted[-OUTER:])
    words = f"({len(wanted) - MOST_FRAMES} functions left out)"
    text = "".join(stack.text(Stacks(pid, 0, [thread]), Machine())).splitlines()
    place = next(at for at, line in enumerate(text) if line.split(maxsplit=1) == ["…", words])
    assert len([line for line in text[:place] if MARK.match(line)]) == INNER
    assert ours[INNER].function in text[place + 1]
    (line,) = folded(Stacks(pid, 0, [thread]), Machine())
    frames = line.removesuffix(" 1\n").split(";")
    place = frames.index(f"[{words[1:-1]}]")
    inner = [f"{one.function} ({one.file}:{one.line})" for one in ours[:INNER] if one.file]
    assert [one for one in reversed(frames[place + 1 :]) if one in {*inner}] == inner


@pytest.mark.parametrize("language", ["Python", "Ruby", "PHP"])
def test_both_ends_stand_at_the_frames_that_execute_them(language: str, tmp_path: Path) -> None:
    """In the middle, which is left out, a function of C calls back."""
    with deep(language, tmp_path) as (_, pid):
        thread, ours = deepest(pid)
    frames = thread.user or []
    executing = [at for at, one in enumerate(frames) if (one.symbol or "").startswith(EXECUTES)]
    assert len(executing) == 2 and not thread.omitted
    assert {one.native for one in ours[:INNER]} == {executing[0]}
    assert {one.native for one in ours[INNER:]} == {executing[1]}


@pytest.mark.parametrize("language", COMMANDS)
def test_of_a_longer_stack_it_is_told(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (interpreted, python):
        monkeypatch.setattr(module, "MOST_WALKED", 1500)
    with deep(language, tmp_path) as (wanted, pid):
        thread, ours = deepest(pid)
    assert len(ours) == MOST_FRAMES and thread.functions_omitted == 1500 - MOST_FRAMES
    assert thread.functions_reason == "more than 1500 functions"
    assert same(ours, [*wanted[:INNER], *wanted[1500 - OUTER : 1500]])
    text = "".join(stack.text(Stacks(pid, 0, [thread]), Machine()))
    assert ["…", "(more than 1500 functions)"] in [
        one.split(maxsplit=1) for one in text.splitlines()
    ]
    (line,) = folded(Stacks(pid, 0, [thread]), Machine())
    assert "[more than 1500 functions];" in line
