"""All threads of a process: what each waits for, its system call, its kernel and user frames.

Nothing is stopped or signalled: a thread that ran while it was read is read again, and after three
times shown with its innermost frame only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import field, structs

from procmirror.decoding.proc_files import status_value
from procmirror.decoding.reasons import refusal, why
from procmirror.decoding.text import decoded
from procmirror.decoding.view import Incomplete, Machine, Record, doc
from procmirror.kernel.waits import phrase, reason
from procmirror.stack.caller import Caller
from procmirror.stack.demangle import function_name
from procmirror.stack.frames import Frame
from procmirror.stack.headline import headline
from procmirror.stack.kallsyms import Symbols
from procmirror.stack.kernel_stack import KernelFrame, frames
from procmirror.stack.process import FILES, Process
from procmirror.stack.python import Function, Interpreter, interpreter
from procmirror.stack.snapshot import Snapshot, Thread, Where, taken
from procmirror.stack.syscalls import SystemCall, decode
from procmirror.stack.target import Target
from procmirror.stack.unwind import INNER, Stack, Unwinder

SECONDS = 2.0  # for the user frames of all threads
EVALUATES = b"_PyEval_EvalFrameDefault"
LATE = "time"
RAN = "the thread ran while it was read"
_GONE = (FileNotFoundError, ProcessLookupError)


class UserFrame(Record, frozen=True):
    """One function of the program; `mark` says how the frame was found."""

    pc: Annotated[
        str,
        doc(
            "The instruction, in hexadecimal; the one after the call for all but the innermost "
            "frame"
        ),
    ]
    symbol: Annotated[str | None, doc("The name in the symbol table; null outside every symbol")]
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
        doc("Source file of the instruction, which may come from an inlined function (Go)"),
    ]
    line: Annotated[int | None, doc("Line in it (Go)")]
    mark: Annotated[
        str,
        doc("proven by unwind data, repaired and confirmed by a call of this function, or unsure"),
    ]


class PythonFrame(Record, frozen=True):
    """One function of Python."""

    function: Annotated[str, doc("Its qualified name (3.9 and 3.10: its name)")]
    file: Annotated[str, doc("The file it was compiled from, as the program names it")]
    line: Annotated[int | None, doc("The line that it executes")]
    native: Annotated[
        int | None, doc("The frame in `user` that executes it, where that can be told")
    ]


class ThreadStack(Record, frozen=True):
    """One thread: what it waits for, and its frames, innermost first."""

    tid: Annotated[int, doc("Thread ID")]
    comm: Annotated[str, doc("Name of the thread")]
    state: Annotated[str, doc("State as the kernel words it in status")]
    waits_for: Annotated[str | None, doc("What it waits for, where the kernel function tells")]
    syscall: Annotated[SystemCall | None, doc("The system call; null if it may not be read")]
    kernel: Annotated[
        list[KernelFrame] | None, doc("Frames in the kernel; null if they may not be read")
    ]
    user: Annotated[
        list[UserFrame] | None, doc("Frames in the program; null if they may not be read")
    ]
    omitted: Annotated[
        int,
        doc(f"Frames of a longer stack that are left out between the first {INNER} and the others"),
    ]
    python: Annotated[
        list[PythonFrame] | None,
        doc("Functions of Python (CPython 3.9 to 3.13), innermost first; null without any"),
    ]
    complete: Annotated[bool, doc("The user frames reach the thread's first function")]
    reason: Annotated[
        str | None, doc("Why there are no further user frames; null for a complete stack")
    ]
    incomplete: Annotated[
        list[Incomplete],
        doc(
            "Parts that could not be read: `syscall`, `stack` (the kernel's frames), `maps`, `mem`"
        ),
    ] = field(default_factory=list)


class Stacks(Record, frozen=True):
    """The process, or one thread of it."""

    pid: Annotated[int, doc("Process ID")]
    without_time: Annotated[
        int, doc("Threads without user frames because the time for all threads was over")
    ]
    threads: Annotated[list[ThreadStack], doc("Its threads; in a thread's own directory, this one")]


def stacks(target: Target, machine: Machine) -> Stacks:
    """All threads of a process directory, the one of a thread's.

    Raises the errno of `stack` if no part may be read.
    """
    try:
        directories = [f"task/{tid}/" for tid in target.names("task")]
    except FileNotFoundError:
        directories = [""]
    walk = _Walk(target, machine, directories)
    threads = [found for directory in directories if (found := walk.thread(directory))]
    FILES.settle()
    if not walk.allowed:
        raise walk.refusal
    late = sum(thread.reason == LATE for thread in threads)
    return Stacks(walk.pid, late, threads)


class _Walk:
    """The threads of one request.

    What they share, the time they have together, and whether any part could be read.
    """

    def __init__(self, target: Target, machine: Machine, directories: list[str]) -> None:
        self.target, self.machine = target, machine
        self.caller = Caller(target, machine)
        self.deadline = target.clock() + SECONDS
        self.symbols = Symbols(target)
        self.process: Process | OSError
        try:
            self.process = Process(target, directories)
        except OSError as error:
            self.process = error
        self.interpreter: Interpreter | None = None
        self.looked = False
        self.pid = 0
        self.allowed = False
        self.refusal: OSError = ProcessLookupError(3, "No such process")

    def thread(self, directory: str) -> ThreadStack | None:
        """One thread; None if it has ended."""
        thread = Thread(self.target, directory)
        try:
            status = thread.read("status")
            comm = thread.read("comm").removesuffix(b"\n")
        except _GONE as error:
            self.refusal = error
            return None
        self.pid = int(status_value(status, b"Tgid"))
        snapshot, stack = self.taken(thread)
        self.judge(snapshot)
        if isinstance(snapshot.line, _GONE) and isinstance(snapshot.kernel, _GONE):
            return None
        kernel = (
            None if isinstance(snapshot.kernel, OSError) else frames(snapshot.kernel, self.symbols)
        )
        state = decoded(status_value(status, b"State"))
        user = None if stack is None else [self.user_frame(frame) for frame in stack.frames]
        call = self.call(snapshot)
        return ThreadStack(
            int(status_value(status, b"Pid")),
            decoded(comm),
            state,
            None if state.startswith("R") else self.waits_for(thread, kernel, call, user),
            call,
            kernel,
            user,
            stack.omitted if stack else 0,
            self.python(status, snapshot, stack),
            stack is not None and stack.reason is None,
            _denied(snapshot, self.process) if stack is None else stack.reason,
            list(_unread(snapshot, self.process)),
        )

    def judge(self, snapshot: Snapshot) -> None:
        """Whether this requester may read any part, and the kernel's answer if not."""
        if isinstance(snapshot.kernel, bytes) or isinstance(snapshot.line, bytes):
            self.allowed = True
            return
        self.refusal = snapshot.kernel
        try:
            self.target.part("mem", 0, 0)
        except OSError:
            return
        self.allowed = True

    def taken(self, thread: Thread) -> tuple[Snapshot, Stack | None]:
        """A snapshot and its user frames; None for these if they may not be read."""
        late = self.target.clock() > self.deadline
        process = self.process
        if late or isinstance(process, OSError):
            snapshot = taken(thread, None)
            at = snapshot.where
            if isinstance(snapshot.line, OSError) or (at and at.pc and not late):
                return snapshot, None
            return snapshot, Stack([], _without_frames(at) or LATE)
        snapshot = taken(thread, process)
        at, memory = snapshot.where, snapshot.memory
        if isinstance(snapshot.line, OSError) or isinstance(memory, OSError):
            return snapshot, None
        if at is None or memory is None:
            return snapshot, Stack([], _without_frames(at))
        stack = Unwinder(process, memory, self.deadline).stack(at)
        if snapshot.steady and (not memory.elsewhere or snapshot.still_steady()):
            return snapshot, stack
        return snapshot, Stack(stack.frames[:1], RAN)

    def call(self, snapshot: Snapshot) -> SystemCall | None:
        """The system call.

        What its arguments point to is only right if the thread has not run since the snapshot.
        """
        if isinstance(snapshot.line, OSError):
            return None
        kernel = snapshot.kernel if isinstance(snapshot.kernel, bytes) else None
        call = decode(self.caller, snapshot.line, kernel, self.machine)
        if call.state != "system call" or (snapshot.steady and snapshot.still_steady()):
            return call
        return structs.replace(call, notes=[*call.notes, RAN])

    def waits_for(
        self,
        thread: Thread,
        kernel: list[KernelFrame] | None,
        call: SystemCall | None,
        user: list[UserFrame] | None,
    ) -> str | None:
        """The phrase, by the kernel frames, else by `wchan`, which needs fewer rights."""
        if kernel:
            found = reason(frame.symbol for frame in kernel if frame.symbol)
        else:
            function = thread.optional("wchan")
            found = phrase(decoded(function)) if isinstance(function, bytes) else None
        functions = [frame.function for frame in user or () if frame.function]
        return headline(found, call, functions, self.caller, self.target, self.pid)

    def python(
        self, status: bytes, snapshot: Snapshot, stack: Stack | None
    ) -> list[PythonFrame] | None:
        """The functions of Python that a thread that stands still is in."""
        if stack is None or not stack.frames or not snapshot.steady:
            return None
        if not self.looked and isinstance(self.process, Process):
            self.looked, self.interpreter = True, interpreter(self.process)
        if self.interpreter is None or self.target.clock() > self.deadline:
            return None
        key = b"NSpid" if b"\nNSpid:" in status else b"Pid"  # since Linux 4.1
        tid = int(status_value(status, key).split()[-1])
        functions = self.interpreter.functions(tid)
        if functions is None or not snapshot.still_steady():
            return None
        return self.mixed(functions, stack)

    def mixed(self, functions: list[Function], stack: Stack) -> list[PythonFrame]:
        """The functions with the frames that execute them: each executes one run of functions."""
        assert isinstance(self.process, Process)
        names = [
            self.process.name(frame.pc, innermost=frame.interrupted).symbol
            for frame in stack.frames
        ]
        natives = [at for at, name in enumerate(names) if (name or b"").startswith(EVALUATES)]
        runs = sum(function.entry for function in functions)
        known = len(natives) == runs and not stack.omitted
        found, run = [], 0
        for function in functions:
            if function.name:
                native = natives[run] if known and run < runs else None
                line = function.line
                found.append(PythonFrame(function.name, function.file, line, native))
            run += function.entry
        return found

    def user_frame(self, frame: Frame) -> UserFrame:
        """A frame with its names."""
        assert isinstance(self.process, Process)
        name = self.process.name(frame.pc, innermost=frame.interrupted)

        def optional(raw: bytes | None) -> str | None:
            return None if raw is None else decoded(raw)

        return UserFrame(
            f"{frame.pc:#x}",
            optional(name.symbol),
            None if name.symbol is None else function_name(name.symbol),
            name.offset,
            optional(name.module),
            name.module_offset,
            optional(name.file),
            name.line,
            frame.mark,
        )


def _without_frames(at: Where | None) -> str | None:
    """Why a thread has no user frames at all; None if it has a user context."""
    if at is None:
        return "running"
    if at.pc:
        return None
    return "no user context: a kernel thread or a zombie"


def _denied(snapshot: Snapshot, process: Process | OSError) -> str:
    """Why the user frames may not be read."""
    for part in (snapshot.line, snapshot.memory, process):
        if isinstance(part, OSError):
            return refusal(why(part))
    return "not permitted"


def _unread(snapshot: Snapshot, process: Process | OSError) -> Iterator[Incomplete]:
    """The parts of a thread that were refused or did not answer."""
    parts = {
        "syscall": snapshot.line,
        "stack": snapshot.kernel,
        "maps": process,
        "mem": snapshot.memory,
    }
    for name, part in parts.items():
        if isinstance(part, OSError) and not isinstance(part, _GONE):
            yield Incomplete(name, why(part))
