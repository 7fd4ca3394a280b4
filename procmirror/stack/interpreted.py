"""Functions of languages whose programs run in an interpreter or a virtual machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Generic, NamedTuple, Protocol, TypeVar

from msgspec import structs

from procmirror.decoding.view import Record, doc

INNER, OUTER = 768, 256  # the functions that are shown of a longer stack
MOST_FRAMES = INNER + OUTER
MOST_WALKED = 10_000

T = TypeVar("T")


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


class Functions(NamedTuple, Generic[T]):
    """The functions of a thread, innermost first.

    `omitted` of them behind the first `INNER` are left out, among them `entries` that a C function
    began. `reason` says why there are no further ones; it is None where they are all known.
    """

    shown: list[T]
    omitted: int = 0
    entries: int = 0
    reason: str | None = None


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

    def functions(self, thread: int) -> Functions[Function] | None:
        """The functions of a thread by its number in its own namespace.

        None for a thread that runs no such program. Raises BROKEN for what is no such frame.
        """


def cut(
    found: list[T], reason: str | None, entry: Callable[[T], bool], known: Callable[[T], Function]
) -> Functions[Function]:
    """What was found of a stack, its middle left out if it is long.

    `entry` tells whether a C function began one, and `known` what its function is.
    """
    middle = found[INNER:-OUTER] if len(found) > MOST_FRAMES else []
    shown = [*found[:INNER], *found[INNER + len(middle) :]]
    return Functions([*map(known, shown)], len(middle), sum(map(entry, middle)), reason)


def walked(steps: Iterable[T], goes_far: Callable[[], bool]) -> tuple[list[T], str | None]:
    """The steps from a function to the outermost one, and why there are no more of them.

    `goes_far` is asked whether there are more than `MOST_FRAMES` to be taken.
    """
    found: list[T] = []
    for step in steps:
        if len(found) >= MOST_WALKED or (len(found) >= MOST_FRAMES and not goes_far()):
            return found, more_than(len(found))
        found.append(step)
    return found, None


def more_than(count: int) -> str:
    """Why there are no further functions than so many."""
    return f"more than {count} functions"


def mixed(
    interpreter: Interpreter, functions: Functions[Function], frames: Sequence[Executing] | None
) -> list[InterpretedFrame]:
    """The functions with the frames of the program that execute them; None if some are missing."""
    natives = [at for at, one in enumerate(frames or ()) if one.name in interpreter.executes]
    runs = functions.entries + sum(one.entry for one in functions.shown)
    known = frames is not None and len(natives) == runs and functions.reason is None
    found, run, last = [], 0, -1
    native, within = None, None
    for at, one in enumerate(functions.shown):
        run += functions.entries if at == INNER else 0
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
