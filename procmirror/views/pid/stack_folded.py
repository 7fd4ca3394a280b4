"""The stacks of a process as flame graphs take them: `stack.folded`, one line a thread.

A line is the thread's name, its functions from the outermost to the innermost one, `;` between
them, and a count of 1: the form of stackcollapse-perf.pl, which flamegraph.pl, inferno and
speedscope read. Functions of the kernel end in `_[k]`, inlined ones in `_[i]`, as they do there.
Where frames are missing stands a frame in brackets that says so. Of a running thread of Python,
whose functions are of another moment than its frames, there are the functions alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from procmirror.decoding.text import printable
from procmirror.decoding.view import Machine
from procmirror.stack.interpreted import INNER as FIRST
from procmirror.stack.interpreted import InterpretedFrame, placed
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.unwind import INNER
from procmirror.stack.user_side import PythonFrame, UserFrame

MISSING = "[frames missing]"
_Executed = PythonFrame | InterpretedFrame


def folded(all_of_them: Stacks, _: Machine) -> Iterator[str]:
    """A line for each thread, and one for each goroutine of a Go program."""
    for thread in all_of_them.threads:
        yield _line([thread.comm or "?", *reversed([*_inner_first(thread)])])
    for one in all_of_them.goroutines.shown if all_of_them.goroutines else ():
        frames = [*_user(one.frames, (), one.omitted), *_end(one.reason)]
        name = f"goroutine {one.goid} [{one.wait_reason or one.state}]"
        yield _line([name, *reversed(frames)])


def _line(frames: Iterable[str]) -> str:
    """One line: what separates frames is escaped in them."""
    return ";".join(printable(frame).replace(";", "\\x3b") for frame in frames) + " 1\n"


def _inner_first(thread: ThreadStack) -> Iterator[str]:
    for frame in thread.kernel or ():
        yield f"{frame.symbol or frame.address or '?'}_[k]"
    if thread.python_apart:
        yield from map(_interpreted, _executed(thread))
        return
    yield from _user(thread.user or (), _executed(thread), thread.omitted)
    # A thread of the kernel has no user frames, and none are missing.
    if thread.user != [] or not thread.kernel:
        yield from _end(thread.reason)


def _user(
    frames: Sequence[UserFrame], executed: Sequence[_Executed], omitted: int
) -> Iterator[str]:
    """The functions of a program; interpreted ones in place of the frame that executes them."""
    for at, frame in enumerate(frames):
        if omitted and at == INNER:
            yield f"[{omitted} frames left out]"
        if frame.gap:
            yield MISSING
        here = [one for one in executed if one.native == at]
        yield from map(_interpreted, here)
        if not here:
            yield from (f"{one.function or '?'}_[i]" for one in frame.inlined or ())
            yield _native(frame)
    yield from (_interpreted(one) for one in executed if one.native is None)


def _native(frame: UserFrame) -> str:
    if frame.function is not None:
        return frame.function
    module = (frame.module or "").rpartition("/")[2]
    return f"{module}+{frame.module_offset or 0:#x}" if module else frame.pc


def _executed(thread: ThreadStack) -> list[_Executed]:
    """The functions, and where some are missing one that says so."""
    found: list[_Executed] = [*(thread.python or ()), *placed(thread.interpreted or ())]
    if thread.functions_omitted and len(found) > FIRST:
        found.insert(FIRST, _words(f"{thread.functions_omitted} functions left out", found[FIRST]))
    if thread.functions_reason and found:
        found.append(_words(thread.functions_reason, found[-1]))
    return found


def _words(text: str, beside: _Executed) -> InterpretedFrame:
    return InterpretedFrame("", f"[{text}]", None, None, beside.native)


def _interpreted(frame: _Executed) -> str:
    return f"{frame.function} ({frame.file}:{frame.line or '?'})" if frame.file else frame.function


def _end(reason: str | None) -> Iterator[str]:
    """Where a stack is not complete its outermost frame says so."""
    if reason is not None:
        yield f"[{reason}]"
