"""Functions of languages whose programs run in an interpreter or a virtual machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Protocol

from msgspec import structs

from procmirror.decoding.view import Record, doc

MOST_FRAMES = 1024


class InterpretedFrame(Record, frozen=True):
    """One function of a program of such a language."""

    language: Annotated[str, doc("The language: Java, PHP, Ruby")]
    function: Annotated[str, doc("Its name, as the language itself shows it")]
    file: Annotated[
        str | None, doc("The file it comes from, as the program names it; null without one")
    ]
    line: Annotated[int | None, doc("The line that it executes")]
    native: Annotated[
        int | None, doc("The frame in `user` that executes it, where that can be told")
    ]


class Function(NamedTuple):
    """One frame: the function, its file and line; `entry` if a C function began this one.

    `within` are the addresses of code that the frame of the program which executes it goes on at,
    where that is known.
    """

    name: str
    file: str | None
    line: int | None
    entry: bool
    within: range | None = None


class Executing(NamedTuple):
    """A frame of the program: where it goes on, and its function."""

    pc: int
    name: bytes | None


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
    interpreter: Interpreter, functions: Sequence[Function], frames: Sequence[Executing] | None
) -> list[InterpretedFrame]:
    """The functions with the frames of the program that execute them; None if some are missing."""
    natives = [at for at, one in enumerate(frames or ()) if one.name in interpreter.executes]
    known = frames is not None and len(natives) == sum(one.entry for one in functions)
    found, run, last = [], 0, -1
    native, within = None, None
    for one in functions:
        if one.within is None:
            native = natives[run] if known and run < len(natives) else None
        elif one.within is not within:
            # Functions that are inlined in one frame have one range.
            native = _at(frames or (), one.within, last + 1)
            last = last if native is None else native
        within = one.within
        found.append(InterpretedFrame(interpreter.language, one.name, one.file, one.line, native))
        run += one.entry
    return found


def _at(frames: Sequence[Executing], within: range, first: int) -> int | None:
    """The first frame, from the one with the number `first` on, that goes on there."""
    return next((at for at in range(first, len(frames)) if frames[at].pc in within), None)


def placed(frames: Sequence[InterpretedFrame]) -> list[InterpretedFrame]:
    """The functions with the places at which they are shown, so that their order is kept.

    One whose frame is not known stands behind the function that it called.
    """
    found, place = [], None
    for one in frames:
        place = place if one.native is None else one.native
        found.append(structs.replace(one, native=place))
    return found
