"""The records of the view `stack`: a process and its threads with their frames."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from procmirror.decoding.view import Incomplete, Record, doc
from procmirror.stack.interpreted import INNER as FIRST
from procmirror.stack.interpreted import InterpretedFrame
from procmirror.stack.kernel_stack import KernelFrame
from procmirror.stack.syscalls import SystemCall
from procmirror.stack.unwind import INNER
from procmirror.stack.user_side import Goroutines, PythonFrame, UserFrame


class ThreadStack(Record, frozen=True):
    """One thread: what it waits for, and its frames, innermost first."""

    tid: Annotated[int, doc("Thread ID")]
    comm: Annotated[str | None, doc("Name of the thread")]
    state: Annotated[str | None, doc("State as the kernel words it in status")]
    waits_for: Annotated[str | None, doc("What it waits for, where the kernel function tells")]
    syscall: Annotated[SystemCall | None, doc("The system call; null if it may not be read")]
    kernel: Annotated[
        list[KernelFrame] | None, doc("Frames in the kernel; null if they may not be read")
    ]
    user: Annotated[
        list[UserFrame] | None, doc("Frames in the program; null if they may not be read")
    ]
    sampled: Annotated[
        bool,
        doc(
            "The thread ran: the frames are those of one moment, by perf_event_open(2), and state "
            "and system call may be of another"
        ),
    ]
    omitted: Annotated[
        int,
        doc(f"Frames of a longer stack that are left out between the first {INNER} and the others"),
    ]
    python: Annotated[
        list[PythonFrame] | None,
        doc("Functions of Python (CPython 3.9 to 3.15), innermost first; null without any"),
    ]
    complete: Annotated[bool, doc("The user frames reach the thread's first function")]
    reason: Annotated[
        str | None, doc("Why there are no further user frames; null for a complete stack")
    ]
    without_lines: Annotated[
        int,
        doc(
            "User frames whose file and line were not looked up, as the time for that was over; "
            "the next reading goes on with it"
        ),
    ] = 0
    python_apart: Annotated[
        bool,
        doc(
            "The thread ran while its functions of Python were read: three readings were alike, "
            "but they are of another moment than `user`, and may be of more than one"
        ),
    ] = False
    interpreted: Annotated[
        list[InterpretedFrame] | None,
        doc(
            "Functions of Java (OpenJDK 17, 21, 25), PHP (8.1 to 8.4) or Ruby (3.0 to 3.4), "
            "innermost first; null without any"
        ),
    ] = None
    functions_omitted: Annotated[
        int,
        doc(
            f"Functions of a longer stack that are left out of `python` or `interpreted`, between "
            f"the first {FIRST} and the others"
        ),
    ] = 0
    functions_reason: Annotated[
        str | None,
        doc("Why there are no further functions in these; null where the outermost one is there"),
    ] = None
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
    goroutines: Annotated[
        Goroutines | None,
        doc("Those of a Go program (1.18 to 1.27); null for others and in a thread's directory"),
    ] = None
