"""The Python functions of a thread: CPython 3.9 to 3.15, read from memory without stopping it.

A thread that does not run keeps its frames, and these keep their code objects. So what is read
between two checks of a thread that did not run belongs to one moment. Sources:
Objects/codeobject.c, Objects/locations.md (3.11), Objects/lnotab_notes.txt (3.9, 3.10).

All of it is memory of another process: every number is checked, every count has a limit, and a
contradiction means that there are no Python frames.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from procmirror.stack.elf import BROKEN, Elf, remembered
from procmirror.stack.interpreted import (
    INNER,
    MOST_FRAMES,
    MOST_WALKED,
    OUTER,
    Functions,
    more_than,
)
from procmirror.stack.process import Image, Process
from procmirror.stack.python_layouts import DEBUG_OFFSETS, LAYOUTS, Layout, described
from procmirror.stack.python_lines import Code, Torn, rows_3_9, rows_3_10, rows_3_11
from procmirror.stack.python_objects import Objects, at
from procmirror.stack.python_running import Pages, agreed
from procmirror.stack.symbols import variable

MOST_THREADS = 10_000
MOST_INTERPRETERS = 64
# The limits of one request: bytes that are read, and rows of tables of lines (a third of a second).
MOST_BYTES = 32 << 20
MOST_ROWS = 500_000
REMEMBERED = 128  # lines, with their tables of at most 64 KiB
LEAST_READ = 256  # bytes that each read counts for at least
MOST_COPIES = 1 << 16  # of the instructions of one function
USER_SPACE = range(4096, 1 << 48)
OWNED_BY_GENERATOR = 1
OWNED_BY_INTERPRETER = 3  # 3.13: FRAME_OWNED_BY_CSTACK
_TAGS = 3  # the low bits of a _PyStackRef (3.14)
_MODULE = re.compile(rb"python3(?:\.([0-9]{1,2}))?")


class Function(NamedTuple):
    """One frame: the function, its file and line; `entry` if a C function began this one."""

    name: str
    file: str
    line: int | None
    entry: bool


class _Runtime(NamedTuple):
    """The addresses of `_PyRuntime` and, since 3.11, `Py_Version` in the interpreter's file."""

    runtime: int
    version: int | None


@remembered
def _named(elf: Elf) -> _Runtime | None:
    """The variables of an interpreter in the file that is named after it."""
    found = variable(elf, b"_PyRuntime")
    return _Runtime(found, variable(elf, b"Py_Version")) if found else None


@remembered
def _embedded(elf: Elf) -> _Runtime | None:
    """The variables of an interpreter in any program, which exports them for extension modules.

    From 3.13 on `_PyRuntime` has a section of its own.
    """
    section = elf.by_name.get(b".PyRuntime")
    found = section.address if section else variable(elf, b"_PyRuntime", exported=True)
    return _Runtime(found, variable(elf, b"Py_Version", exported=True)) if found else None


class Interpreter:
    """CPython in one process, for one request."""

    def __init__(self, process: Process, runtime: int, layout: Layout, minor: int) -> None:
        self.process, self.runtime, self.layout, self.minor = process, runtime, layout, minor
        self._pages = Pages(self._read)
        self._objects = Objects(self._paged, layout)
        self.bytes, self.rows = MOST_BYTES, MOST_ROWS
        self._states: dict[int, int] | None = None
        self._lines: dict[tuple[int, int], int | None] = {}

    def functions(self, thread: int, *, runs: bool = False) -> Functions[Function] | None:
        """The functions of a thread by its number in its own namespace.

        Frames without a function, which stand for an entry from C, are among them.

        None for a thread that runs no Python; of one that `runs`, if it runs too fast.
        """
        try:
            # What another thread changed meanwhile is read anew.
            self._pages = Pages(self._read)
            if self._states is None:
                self._states = dict(self._threads())
            state = self._states.get(thread)
            if not state:
                return None
            frames = self._of_running(thread, state) if runs else self._of_blocked(state)
            return None if frames is None else self._cut(frames)
        except (*BROKEN, UnicodeError):
            return None

    def _of_blocked(self, state: int) -> Sequence[bytes]:
        return self._chain(self._innermost(state, self._paged), self._paged, far=True)

    def _of_running(self, thread: int, state: int) -> Sequence[bytes] | None:
        def chain(read: Callable[[int, int], bytes]) -> Sequence[bytes] | None:
            first = self._innermost(state, self._read)
            frames = self._chain(first, read)
            steady = self._innermost(state, self._read) == first
            return frames if steady and not self._is_left(frames) else None

        frames = agreed(chain, self._read, self._place)
        self._pages = Pages(self._read)
        return frames if self._number(state) == thread else None

    def _is_left(self, frames: list[bytes]) -> bool:
        """Whether the outermost frame is a generator's, which has no caller just before it ends."""
        owner = self.layout.owner
        return owner is not None and bool(frames) and frames[-1][owner] == OWNED_BY_GENERATOR

    def _place(self, raw: bytes) -> tuple[int, ...]:
        """The code, the caller and the instruction of a frame."""
        layout = self.layout
        return tuple(at(raw, place) for place in (layout.code, layout.previous, layout.instruction))

    def _read(self, address: int, size: int) -> bytes:
        if address not in USER_SPACE:
            raise Torn("an address")
        self.bytes -= max(size, LEAST_READ)
        if self.bytes < 0:
            raise Torn("too much to read")
        raw = self.process.memory(address, size)
        if len(raw) != size:
            raise Torn("memory that ends")
        return raw

    def _paged(self, address: int, size: int) -> bytes:
        """Memory of the thread at hand, each page read once."""
        return self._pages.read(address, size)

    def _word(self, address: int) -> int:
        return int.from_bytes(self._paged(address, 8), "little")

    def _threads(self) -> Iterator[tuple[int, int]]:
        """The kernel's number and the state of each thread."""
        layout = self.layout
        interpreter = self._word(self.runtime + layout.interpreters)
        for _ in range(MOST_INTERPRETERS):
            if not interpreter:
                return
            state = self._word(interpreter + layout.threads)
            for _ in range(MOST_THREADS):
                if not state:
                    break
                yield self._number(state), state
                state = self._word(state + layout.thread_next)
            interpreter = self._word(interpreter + layout.interpreter_next)

    def _number(self, state: int) -> int:
        if self.layout.native is not None:
            return self._word(state + self.layout.native)
        pthread = self._word(state + self.layout.pthread)
        return int.from_bytes(self._paged(pthread + self.process.architecture.thread, 4), "little")

    def _innermost(self, state: int, read: Callable[[int, int], bytes]) -> int:
        """The address of the innermost frame of a thread."""
        if self.layout.cframe is not None:
            state = at(read(state + self.layout.cframe, 8), 0)
        return at(read(state + self.layout.current, 8), 0)

    def _chain(
        self, frame: int, read: Callable[[int, int], bytes], *, far: bool = False
    ) -> list[bytes]:
        """The frames from one on as they stand in memory.

        `far`: there may be more than `MOST_FRAMES`, if there is time to read them.
        """
        layout = self.layout
        size = max(layout[place] or 0 for place in _IN_FRAME) + 8
        found: list[bytes] = []
        while frame and len(found) < (MOST_WALKED if far else MOST_FRAMES):
            found.append(read(frame, size))
            frame = at(found[-1], layout.previous)
            far = far and self.bytes > MOST_BYTES // 2
        return found

    def _cut(self, frames: Sequence[bytes]) -> Functions[Function]:
        """The functions of frames, the middle of a long stack left out."""
        further = bool(frames) and at(frames[-1], self.layout.previous)
        named = [place for place, raw in enumerate(frames) if not self._begins(raw)]
        reason = more_than(len(named)) if further else None
        left = named[INNER:-OUTER] if len(named) > MOST_FRAMES else []
        first, last = (left[0], left[-1] + 1) if left else (len(frames), len(frames))
        shown = [self._function(raw) for raw in (*frames[:first], *frames[last:])]
        entries = sum(self._begins(raw) or self._is_entry(raw) for raw in frames[first:last])
        return Functions(shown, len(left), entries, reason)

    def _begins(self, raw: bytes) -> bool:
        """Whether a frame is no function's, but stands for an entry from C."""
        owner = self.layout.owner
        return owner is not None and raw[owner] >= OWNED_BY_INTERPRETER

    def _is_entry(self, raw: bytes) -> bool:
        """Whether the frame of a function is one that a C function began."""
        layout = self.layout
        return layout.owner is None or bool(layout.entry and raw[layout.entry])

    def _function(self, raw: bytes) -> Function:
        layout = self.layout
        if self._begins(raw):
            return Function("", "", None, entry=True)
        entry = self._is_entry(raw)
        address = at(raw, layout.code) & ~_TAGS
        code = self._objects.code(address)
        if layout.bytecode is None:
            (last,) = struct.unpack_from("<i", raw, layout.instruction)
            offset = last * 2 if self.minor >= 10 else last
        else:
            offset = at(raw, layout.instruction) - self._bytecode(address, raw)
        if not -2 <= offset < 1 << 24:
            raise Torn("an instruction outside its function")
        key = address, offset
        if key not in self._lines:
            self._lines[key] = self._line(code, offset)
        return Function(code.name, code.file, self._lines[key], entry)

    def _bytecode(self, code: int, frame: bytes) -> int:
        """Where the instructions begin that a frame executes, of a version that has a `bytecode`.

        A free-threaded interpreter has copies of them for threads (`_PyCodeArray`).
        """
        layout = self.layout
        assert layout.bytecode is not None
        if layout.copies is None or layout.copy is None:
            return code + layout.bytecode
        (copy,) = struct.unpack_from("<i", frame, layout.copy)
        if not 0 <= copy < MOST_COPIES:
            raise Torn("a copy of the instructions")
        return self._word(self._word(code + layout.copies) + 8 + 8 * copy)

    def _line(self, code: Code, offset: int) -> int | None:
        """The line of an instruction; for one without the line before it."""
        found, rows = None, len(code.table)
        try:
            found, rows = _line_of(self.minor, code, max(offset, 0))
        finally:
            self.rows -= rows
        if self.rows < 0:
            raise Torn("too many rows of lines")
        return found


@lru_cache(REMEMBERED)
def _line_of(minor: int, code: Code, offset: int) -> tuple[int | None, int]:
    """The line of an instruction, and how many rows of the table were looked at for it."""
    found, rows = code.first, 0
    for start, end, line in {9: rows_3_9, 10: rows_3_10}.get(minor, rows_3_11)(code):
        rows += 1
        found = line or found
        if start <= offset < end:
            break
    return found, rows


_IN_FRAME = [
    Layout._fields.index(name) for name in ("code", "previous", "instruction", "owner", "copy")
]


def interpreter(process: Process) -> Interpreter | None:
    """The CPython of a process; None if there is none, or for an unknown version.

    It is in a file that is named after it, or in the program itself.
    """
    places = [(mapping, _named) for mapping in process.maps.named(_MODULE)]
    places += [(mapping, _embedded) for mapping in islice(process.maps.code(), 1)]
    for mapping, look in places:
        image = process.image(mapping.start)
        runtime = image and look(image.elf)
        if image and runtime:
            try:
                return _known(process, image, runtime, mapping.path)
            except BROKEN:
                return None
    return None


def _known(process: Process, image: Image, file: _Runtime, path: bytes) -> Interpreter | None:
    runtime = file.runtime + image.bias
    if file.version:
        raw = process.memory(file.version + image.bias, 8)
        version = int.from_bytes(raw, "little")
        minor = version >> 16 & 0xFF if version >> 24 == 3 else 0
    else:
        match = _MODULE.match(path.rpartition(b"/")[2].removeprefix(b"lib"))
        minor = int(match[1] or 0) if match else 0
    layout = LAYOUTS.get(minor) or described(process.memory(runtime, DEBUG_OFFSETS))
    return Interpreter(process, runtime, layout, minor) if layout else None
