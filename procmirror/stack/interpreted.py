"""Functions of languages whose programs run in an interpreter or a virtual machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Protocol

from procmirror.decoding.view import Record, doc

MOST_FRAMES = 1024


class InterpretedFrame(Record, frozen=True):
    """One function of a program of such a language."""

    language: Annotated[str, doc("The language: PHP, Ruby")]
    function: Annotated[str, doc("Its name, as the language itself shows it")]
    file: Annotated[
        str | None, doc("The file it comes from, as the program names it; null without one")
    ]
    line: Annotated[int | None, doc("The line that it executes")]
    native: Annotated[
        int | None, doc("The frame in `user` that executes it, where that can be told")
    ]


class Function(NamedTuple):
    """One frame: the function, its file and line; `entry` if a C function began this one."""

    name: str
    file: str | None
    line: int | None
    entry: bool


class Interpreter(Protocol):
    """The interpreter of a process, for one request.

    `executes` are the names of the function that runs programs: each of its frames runs the
    functions up to the next one that has `entry`. `one_stack`: there is one list of functions in a
    process, that of the thread which has such a frame.
    """

    language: str
    executes: frozenset[bytes]
    one_stack: bool

    def functions(self, thread: int) -> list[Function] | None:
        """The frames of a thread by its number in its own namespace, innermost first.

        None for a thread that runs no such program. Raises BROKEN for what is no such frame.
        """


def mixed(
    interpreter: Interpreter, functions: Sequence[Function], names: Sequence[bytes | None] | None
) -> list[InterpretedFrame]:
    """The functions with the frames of the program that execute them.

    `names` are those of the frames, None if some are missing.
    """
    natives = [at for at, name in enumerate(names or ()) if name in interpreter.executes]
    known = names is not None and len(natives) == sum(one.entry for one in functions)
    found, run = [], 0
    for one in functions:
        native = natives[run] if known and run < len(natives) else None
        found.append(InterpretedFrame(interpreter.language, one.name, one.file, one.line, native))
        run += one.entry
    return found
