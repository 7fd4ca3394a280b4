"""/proc/PID/stack and more: kernel frames, system call and user frames of every thread.

Source: proc_pid_stack(5).

The kernel's file needs CAP_SYS_ADMIN, `syscall` and `mem` the rights of a debugger: each part is
judged alone, and the view opens if any of them may be read. How the frames are found, and when they
are not, is told in `procmirror/stack`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from procmirror.decoding.reasons import refusal
from procmirror.decoding.text import columns, printable, printable_rows
from procmirror.decoding.view import Machine, Reading
from procmirror.stack.interpreted import INNER as FIRST
from procmirror.stack.interpreted import InterpretedFrame, placed
from procmirror.stack.kernel_stack import KernelFrame
from procmirror.stack.syscalls import lines
from procmirror.stack.target import target_of
from procmirror.stack.thread_stack import Stacks, ThreadStack
from procmirror.stack.threads import stacks
from procmirror.stack.unwind import INNER
from procmirror.stack.user_side import Goroutines, PythonFrame, UserFrame

# A line of the user frames: number, mark, function, place in its module, source.
_Row: TypeAlias = tuple[str, str, str, str, str]
_WIDE = 60
_APART = "py: read three times alike while the thread ran; may be of more than one moment"
_SIGNS = {"proven": " ", "repaired": "~", "unsure": "?"}

_LANGUAGES = {"Java": "java", "PHP": "php", "Ruby": "rb"}
_MEANINGS = {
    "~": "found by a search, and a call of this function confirms it",
    "?": "found by a search; it is not proven that it calls the function above",
    "inl": "a function that the compiler made part of the next one",
    "py": "a function of Python",
    "java": "a method of Java",
    "php": "a function of PHP",
    "rb": "a function of Ruby",
}


def join(reading: Reading, machine: Machine) -> Stacks:
    """All threads of a process directory, the one of a thread's.

    Raises the errno of `stack` if no part may be read.
    """
    return stacks(target_of(reading), machine)


def text(all_of_them: Stacks, machine: Machine) -> Iterator[str]:
    """Each thread: a line about it, the call, the kernel's frames, the user frames, their end."""
    if late := all_of_them.without_time:
        yield f"{late} of {len(all_of_them.threads)} threads without user frames: time\n\n"
    told: set[str] = set()
    for at, thread in enumerate(all_of_them.threads):
        yield ("\n" if at else "") + _thread_text(thread, machine) + _marks(thread, told)
    yield from _goroutines_text(all_of_them.goroutines)


def _marks(thread: ThreadStack, told: set[str]) -> str:
    """The meaning of the marks of a thread that were not told above, on one line."""
    found = {_SIGNS[frame.mark] for frame in thread.user or ()} & _MEANINGS.keys()
    if thread.python and not thread.python_apart:
        found.add("py")
    if any(frame.inlined for frame in thread.user or ()):
        found.add("inl")
    found |= {_LANGUAGES[one.language] for one in thread.interpreted or ()}
    new = [f"{mark} {_MEANINGS[mark]}" for mark in sorted(found - told)]
    told |= found
    return f"    ({'; '.join(new)})\n" if new else ""


def _goroutines_text(goroutines: Goroutines | None) -> Iterator[str]:
    """Each goroutine with its frames, in the words of a traceback of the runtime."""
    for one in goroutines.shown if goroutines else ():
        rows = [row for at, one_of in enumerate(one.frames) for row in _user_rows_of(at, one_of)]
        yield (
            f"\ngoroutine {one.goid} [{printable(one.wait_reason or one.state)}]\n"
            + _indented(_aligned(rows))
            + f"    ({printable(one.reason or 'complete')})\n"
        )
    if goroutines and goroutines.more:
        yield f"\n{goroutines.more} more goroutines in the list of the program\n"


def _thread_text(thread: ThreadStack, machine: Machine) -> str:
    waits = f"  waits for {thread.waits_for}" if thread.waits_for else ""
    made = (
        f"{printable(thread.comm or '?')}  {thread.tid}  {printable(thread.state or '?')}{waits}\n"
    )
    missing = {one.part: refusal(one.reason) for one in thread.incomplete}
    if thread.syscall is None:
        made += f"  (system call {missing.get('syscall', 'not permitted')})\n"
    elif thread.syscall.state == "system call":
        made += "".join(
            f"  {printable(line)}\n" for line in lines(thread.syscall, machine.architecture)
        )
    made += "  kernel\n"
    made += (
        f"    ({missing.get('stack', 'not permitted')})\n"
        if thread.kernel is None
        else _indented(columns(map(_kernel_row, thread.kernel)))
    )
    made += "  user, one sample while it ran\n" if thread.sampled else "  user\n"
    made += _indented(_aligned(list(_user_rows(thread))))
    if thread.python_apart:
        made += f"    ({_APART})\n"
    late = thread.without_lines
    more = f"; file and line of {late} frames not looked up: time" if late else ""
    return made + f"    ({printable(thread.reason or 'complete')}{more})\n"


def _indented(table: str) -> str:
    return "".join(f"    {line}\n" for line in table.splitlines())


def _kernel_row(frame: KernelFrame) -> tuple[str, str]:
    where = "" if frame.offset is None else f"+{frame.offset:#x}"
    size = "" if frame.size is None else f"/{frame.size:#x}"
    module = f"[{frame.module}]" if frame.module else ""
    return f"{frame.symbol or frame.address or '?'}{where if frame.symbol else ''}{size}", module


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """A table, in which a name of more than `_WIDE` characters does not widen its column."""
    cells = printable_rows(rows)
    widths = [
        max((size for size in map(len, column) if size <= _WIDE), default=0)
        for column in zip(*cells, strict=True)
    ]
    return "".join(f"{'  '.join(map(str.ljust, row, widths)).rstrip()}\n" for row in cells)


def _user_rows(thread: ThreadStack) -> Iterator[_Row]:
    """The frames with their numbers, and where frames are left out a row that says so."""
    executed = _executed_rows(thread)
    for at, frame in enumerate(thread.user or ()):
        if thread.omitted and at == INNER:
            yield _words(f"({thread.omitted} frames left out)")
        if frame.gap:
            yield _words("(frames missing)")
        yield from _user_rows_of(at + (thread.omitted if at >= INNER else 0), frame)
        yield from executed.get(at, ())
    yield from executed.get(None, ())


def _executed_rows(thread: ThreadStack) -> dict[int | None, list[_Row]]:
    """The functions that each frame of the program executes; None: of which that is not known."""
    found: dict[int | None, list[_Row]] = {}
    executed = [(one.native, _python_row(one)) for one in thread.python or ()]
    executed += [(one.native, _interpreted_row(one)) for one in placed(thread.interpreted or ())]
    for number, (native, row) in enumerate(executed):
        rows = found.setdefault(native, [])
        if thread.functions_omitted and number == FIRST:
            rows.append(_words(f"({thread.functions_omitted} functions left out)"))
        rows.append(row)
    if thread.functions_reason:
        found.setdefault(executed[-1][0] if executed else None, []).append(
            _words(f"({thread.functions_reason})")
        )
    return found


def _words(text: str) -> _Row:
    """A row that says what is missing there."""
    return "…", "", text, "", ""


def _interpreted_row(frame: InterpretedFrame) -> _Row:
    source = f"{frame.file}:{frame.line or '?'}" if frame.file else ""
    return "", _LANGUAGES[frame.language], frame.function, source, ""


def _python_row(frame: PythonFrame) -> _Row:
    return "", "py", frame.function, f"{frame.file}:{frame.line or '?'}", ""


def _user_rows_of(at: int, frame: UserFrame) -> Iterator[_Row]:
    """A frame after the functions that are inlined in it, each with the place that it executes."""
    place = frame.file, frame.line
    for one in frame.inlined or ():
        yield "", "inl", one.function or "?", "", _source(*place)
        place = one.file, one.line
    yield _user_row(at, frame, _source(*place))


def _source(file: str | None, line: int | None) -> str:
    return f"{file}:{line or '?'}" if file else ""


def _user_row(at: int, frame: UserFrame, source: str) -> _Row:
    symbol = frame.pc if frame.function is None else f"{frame.function}+{frame.offset or 0:#x}"
    module = (frame.module or "").removesuffix(" (deleted)").rpartition("/")[2]
    where = f"{module}+{frame.module_offset:#x}" if frame.module else ""
    return f"#{at}", _SIGNS[frame.mark], symbol, where, source
