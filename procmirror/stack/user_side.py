"""The user side of a thread: its frames with their names, and the functions of Python.

All that is parsed here was written by others: ELF, DWARF, compressed symbols, lists of names. So it
needs no right but to its input, and may run in another process than the reader of the thread: a
`Job` goes in, a `UserSide` comes out, and what else is needed is asked of a `Target`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Protocol

import msgspec

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Record, doc
from procmirror.stack import python
from procmirror.stack.demangle import function_name
from procmirror.stack.elf import BROKEN
from procmirror.stack.frames import PROVEN, Frame
from procmirror.stack.goroutines import Goroutine, program
from procmirror.stack.interpreted import INNER, Executing, Functions, InterpretedFrame
from procmirror.stack.languages import Languages
from procmirror.stack.line_program import Line
from procmirror.stack.links import Links
from procmirror.stack.process import FILES, Process
from procmirror.stack.sample import SampledMemory
from procmirror.stack.snapshot import Memory, Where
from procmirror.stack.source_lines import Late, SourceLines
from procmirror.stack.symbol_table import MOST_SYMBOLS
from procmirror.stack.unwind import Stack, Unwinder

EVALUATES = b"_PyEval_EvalFrameDefault"


class InlinedFunction(Record, frozen=True):
    """One function whose code is part of another's."""

    function: Annotated[str | None, doc("Its name; null where it is not told")]
    file: Annotated[
        str | None, doc("Where it is called: a file of the next one, or of the frame's function")
    ]
    line: Annotated[int | None, doc("Line in it")]


class UserFrame(Record, frozen=True):
    """One function of the program; `mark` says how the frame was found."""

    pc: Annotated[
        str,
        doc(
            "The instruction, in hexadecimal; the one after the call for all but the innermost "
            "frame"
        ),
    ]
    symbol: Annotated[
        str | None,
        doc(
            "The name in the symbol table, of generated code in /tmp/perf-PID.map (`node "
            "--perf-basic-prof`, `jcmd PID Compiler.perfmap`); null outside every symbol. Of a "
            f"table of more than {MOST_SYMBOLS:,} symbols the last ones count, with the global ones"
        ),
    ]
    function: Annotated[
        str | None, doc("The function as its source names it (C++ and Rust), else the symbol")
    ]
    offset: Annotated[int | None, doc("Where in the function", "bytes")]
    module: Annotated[
        str | None, doc("The file in memory, as maps names it; null for code that is in no file")
    ]
    module_offset: Annotated[
        int | None, doc("Address in the file's own numbering, as addr2line takes it", "bytes")
    ]
    file: Annotated[
        str | None,
        doc(
            "Source file of the instruction, which may come from an inlined function, by Go's "
            "table or by debug information"
        ),
    ]
    line: Annotated[int | None, doc("Line in it")]
    mark: Annotated[
        str,
        doc("proven by unwind data, repaired and confirmed by a call of this function, or unsure"),
    ]
    gap: Annotated[
        bool,
        doc(
            "Frames between this one and the one before are missing: code without unwind data, or "
            "on aarch64 a return address that is in a register only"
        ),
    ] = False
    inlined: Annotated[
        list[InlinedFunction] | None,
        doc(
            "The functions that the compiler inlined here, innermost first, by debug information; "
            "null for none"
        ),
    ] = None


class PythonFrame(Record, frozen=True):
    """One function of Python."""

    function: Annotated[str, doc("Its qualified name (3.9 and 3.10: its name)")]
    file: Annotated[str, doc("The file it was compiled from, as the program names it")]
    line: Annotated[int | None, doc("The line that it executes")]
    native: Annotated[
        int | None, doc("The frame in `user` that executes it, where that can be told")
    ]


class GoroutineStack(Record, frozen=True):
    """One goroutine of a Go program."""

    goid: Annotated[int, doc("Its number, as the runtime prints it")]
    state: Annotated[str, doc("The state in the scheduler: runnable, running, syscall, waiting")]
    wait_reason: Annotated[
        str | None,
        doc("Why it waits, in the words of the runtime (`chan receive`); null where it does not"),
    ]
    frames: Annotated[list[UserFrame], doc("Its functions, innermost first")]
    omitted: Annotated[int, doc("Frames that are left out of the middle of a longer stack")]
    complete: Annotated[bool, doc("The frames reach the goroutine's first function")]
    reason: Annotated[str | None, doc("Why there are no further frames; null for a complete stack")]


class Goroutines(Record, frozen=True):
    """The goroutines of a Go program."""

    shown: Annotated[list[GoroutineStack], doc("Those that have not ended, the oldest first")]
    more: Annotated[
        int, doc("How many others the program's list has, for which there was no room or time")
    ]


class Job(msgspec.Struct, array_like=True, frozen=True):
    """One thread of which the user side is wanted.

    `tid` is its number in its own pid namespace, `owner` the user ids of its process as in status,
    `copied` the copy of its stack with how many bytes more may be read (`left`), `seconds` the time
    that may be used. `python`: functions of Python are wanted. `last`: no other thread of this
    process follows. `registers` are all of them by the unwinder's numbers, where a
    sample tells them: the thread runs, and the copy is the only memory of that moment; without a
    copy no frames are wanted. `goroutines`: those of the whole process are wanted too.
    """

    tid: int
    owner: bytes
    where: Where
    copied: list[tuple[int, bytes]]
    left: int
    seconds: float
    python: bool
    last: bool
    registers: dict[int, int] | None = None
    goroutines: bool = False


class UserSide(msgspec.Struct, array_like=True, frozen=True):
    """What was found: a `Stack` with names, and the functions of Python, innermost first.

    `functions_omitted` and `functions_reason` are those of `Functions`, of whichever language.
    `elsewhere`: memory was read besides the copy of the stack. `without_lines`: so many frames have
    no line because the time for lines was over.
    """

    frames: list[UserFrame]
    reason: str | None
    omitted: int = 0
    elsewhere: bool = False
    python: list[PythonFrame] | None = None
    goroutines: Goroutines | None = None
    without_lines: int = 0
    interpreted: list[InterpretedFrame] | None = None
    functions_omitted: int = 0
    functions_reason: str | None = None


class Parser(Protocol):
    """What finds the user side of the threads of one process."""

    def user_side(self, job: Job) -> UserSide:
        """The frames; without more than the innermost one, and a reason, where it fails."""

    def close(self) -> None:
        """Let go of the files of the process: nothing more is wanted of it."""


class HereParser:
    """A `Parser` in the process that asks."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._looked = False
        self._interpreter: python.Interpreter | None = None
        self._languages = Languages(process)
        self._lines = SourceLines(process.target.clock)
        self._late = 0
        self._frames: dict[tuple[int, bool, str, bool], UserFrame] = {}

    @cached_property
    def _links(self) -> Links:
        return Links(self.process)

    def user_side(self, job: Job) -> UserSide:
        """The frames with their names."""
        deadline = self.process.target.clock() + job.seconds
        memory: Memory | SampledMemory
        if not job.copied:
            memory, stack = SampledMemory(0, b""), Stack([], None)
        elif job.registers is None:
            memory = Memory.of(self.process, job.copied, job.left)
            stack = self._unwinder(memory, deadline).stack(job.where)
        else:
            memory = SampledMemory(*job.copied[0])
            stack = self._unwinder(memory, deadline).sampled(job.where.pc, job.registers)
        self._late = 0
        frames = [self._named(frame) for frame in stack.frames]
        late = self._late
        functions = self._python(job, stack, deadline) if job.python else None
        interpreted = self._interpreted(job, stack) if job.python else None
        goroutines = self._goroutines(job.seconds / 2) if job.goroutines else None
        either = functions or interpreted
        return UserSide(
            frames,
            stack.reason,
            stack.omitted,
            memory.elsewhere,
            functions and functions.shown,
            goroutines,
            late,
            interpreted and interpreted.shown,
            either.omitted if either else 0,
            either.reason if either else None,
        )

    def _unwinder(self, memory: Memory | SampledMemory, deadline: float) -> Unwinder:
        return Unwinder(self.process, memory, deadline, self._links, self._languages)

    def close(self) -> None:
        """Weigh what was learned of files."""
        FILES.settle()

    def _named(self, frame: Frame) -> UserFrame:
        """A frame with its names; threads have many frames alike."""
        key = frame.pc, frame.interrupted, frame.mark, frame.gap
        found = self._frames.get(key)
        if found is None:
            late = self._late
            found = self._looked_up(frame)
            if late == self._late:
                self._frames[key] = found
        return found

    def _looked_up(self, frame: Frame) -> UserFrame:
        name = self.process.name(frame.pc, innermost=frame.interrupted)

        def optional(raw: bytes | None) -> str | None:
            return None if raw is None else decoded(raw)

        source = Line(name.file, name.line or 0) if name.file else self._line(frame)
        return UserFrame(
            f"{frame.pc:#x}",
            optional(name.symbol),
            None if name.symbol is None else function_name(name.symbol),
            name.offset,
            optional(name.module),
            name.module_offset,
            decoded(source.file) if source else None,
            source.line if source else None,
            frame.mark,
            frame.gap,
            self._inlined(frame) if source and not name.file else None,
        )

    def _inlined(self, frame: Frame) -> list[InlinedFunction] | None:
        try:
            found = self.process.inlined(frame.pc, self._lines, innermost=frame.interrupted)
        except Late:
            self._late += 1
            return None
        return [
            InlinedFunction(
                None if one.name is None else function_name(one.name),
                decoded(one.called.file) if one.called else None,
                one.called.line or None if one.called else None,
            )
            for one in found
        ] or None

    def _line(self, frame: Frame) -> Line | None:
        try:
            return self.process.line(frame.pc, self._lines, innermost=frame.interrupted)
        except Late:
            self._late += 1
            return None

    def _goroutines(self, seconds: float) -> Goroutines | None:
        """The goroutines that can be read within so long; None for a program without."""
        deadline = self.process.target.clock() + seconds
        found = program(self.process)
        if found is None:
            return None
        try:
            goroutines, more = found.goroutines(deadline)
        except BROKEN:
            return None
        return Goroutines([self._goroutine(one) for one in goroutines], more)

    def _goroutine(self, one: Goroutine) -> GoroutineStack:
        frames = [self._named(frame) for frame in one.stack.frames]
        reason = one.stack.reason
        return GoroutineStack(
            one.number, one.state, one.wait, frames, one.stack.omitted, reason is None, reason
        )

    def _python(self, job: Job, stack: Stack, deadline: float) -> Functions[PythonFrame] | None:
        if not stack.frames and job.copied:
            return None
        if not self._looked:
            self._looked, self._interpreter = True, python.interpreter(self.process)
        if self._interpreter is None or self.process.target.clock() > deadline:
            return None
        runs = job.registers is not None
        functions = self._interpreter.functions(job.tid, runs=runs)
        if functions is None:
            return None
        found = self._mixed(functions, stack, apart=runs)
        return Functions(found, functions.omitted, functions.entries, functions.reason)

    def _interpreted(self, job: Job, stack: Stack) -> Functions[InterpretedFrame] | None:
        """The functions of another language than Python, after `_python` has looked for that."""
        if self._interpreter or not stack.frames:
            return None
        if job.registers is not None:
            return self._languages.running(job.copied[0], job.registers, job.where.pc)
        if not self._languages.there:
            return None
        names = zip(stack.frames, self._symbols(stack), strict=True)
        frames = [Executing(frame.pc, name) for frame, name in names]
        return self._languages.frames(job.tid, None if stack.omitted else frames)

    def _symbols(self, stack: Stack) -> list[bytes | None]:
        return [
            self.process.name(frame.pc, innermost=frame.interrupted).symbol
            for frame in stack.frames
        ]

    def _mixed(
        self, functions: Functions[python.Function], stack: Stack, *, apart: bool
    ) -> list[PythonFrame]:
        """The functions with the frames that execute them: each executes one run of functions.

        Those of another moment than the frames (`apart`) belong to none of them.
        """
        natives = [
            at
            for at, name in enumerate(self._symbols(stack))
            if (name or b"").startswith(EVALUATES)
        ]
        runs = functions.entries + sum(function.entry for function in functions.shown)
        complete = functions.reason is None and not stack.omitted
        known = len(natives) == runs and complete and not apart
        found: list[PythonFrame] = []
        run = 0
        for function in functions.shown:
            if function.name:
                run += functions.entries if len(found) == INNER else 0
                native = natives[run] if known and run < runs else None
                found.append(PythonFrame(function.name, function.file, function.line, native))
            run += function.entry
        return found


def innermost(process: Process, where: Where, reason: str) -> UserSide:
    """The innermost frame alone, for which no file is read."""
    mapping = process.maps.holding(where.pc)
    module = decoded(mapping.path) if mapping and mapping.path else None
    offset = where.pc - mapping.start + mapping.offset if mapping and mapping.inode else None
    frame = UserFrame(f"{where.pc:#x}", None, None, None, module, offset, None, None, PROVEN)
    return UserSide([frame], reason)
