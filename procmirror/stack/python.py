"""The Python functions of a thread: CPython 3.9 to 3.13, read from memory without stopping it.

A thread that does not run keeps its frames, and these keep their code objects. So what is read
between two checks of a thread that did not run belongs to one moment. Sources:
Objects/codeobject.c, Objects/locations.md (3.11), Objects/lnotab_notes.txt (3.9, 3.10).

All of it is memory of another process: every number is checked, every count has a limit, and a
contradiction means that there are no Python frames.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from procmirror.stack.elf import BROKEN, Elf, remembered
from procmirror.stack.process import Image, Process
from procmirror.stack.python_layouts import DEBUG_OFFSETS, LAYOUTS, Layout, described
from procmirror.stack.python_lines import Code, Torn, rows_3_9, rows_3_10, rows_3_11
from procmirror.stack.symbols import variable

MOST_FRAMES = 1024
MOST_THREADS = 10_000
MOST_INTERPRETERS = 64
MOST_TEXT = 1024  # characters of a name
MOST_TABLE = 1 << 16
# The limits of one request: bytes that are read, and rows of tables of lines (a third of a second).
MOST_BYTES = 16 << 20
MOST_ROWS = 500_000
LEAST_READ = 256  # bytes that each read counts for at least
USER_SPACE = range(4096, 1 << 47)
GLIBC_TID = 720  # struct pthread of glibc on x86_64
OWNED_BY_CSTACK = 3
_MODULE = re.compile(rb"python3(?:\.([0-9]{1,2}))?")
_COMPACT, _ASCII = 1 << 5, 1 << 6


class Function(NamedTuple):
    """One frame: the function, its file and line; `entry` if a C function began this one."""

    name: str
    file: str
    line: int | None
    entry: bool


@remembered
def _variables(elf: Elf) -> dict[bytes, int] | None:
    """The addresses of the interpreter's variables in its file."""
    names = (b"_PyRuntime", b"Py_Version")
    found = {name: address for name in names if (address := variable(elf, name))}
    return found or None


class Interpreter:
    """CPython in one process, for one request."""

    def __init__(self, process: Process, runtime: int, layout: Layout, minor: int) -> None:
        self.process, self.runtime, self.layout, self.minor = process, runtime, layout, minor
        self.codes: dict[int, Code] = {}
        self.bytes, self.rows = MOST_BYTES, MOST_ROWS
        self._states: dict[int, int] | None = None

    def functions(self, thread: int) -> list[Function] | None:
        """The frames of a thread by its number in its own namespace, innermost first.

        None for a thread that runs no Python.
        """
        try:
            if self._states is None:
                self._states = dict(self._threads())
            state = self._states.get(thread)
            return list(self._frames(state)) if state else None
        except (*BROKEN, UnicodeError):
            return None

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

    def _word(self, address: int) -> int:
        return int.from_bytes(self._read(address, 8), "little")

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
        return int.from_bytes(self._read(pthread + GLIBC_TID, 4), "little")

    def _frames(self, state: int) -> Iterator[Function]:
        layout = self.layout
        if layout.cframe is not None:
            state = self._word(state + layout.cframe)
        frame = self._word(state + layout.current)
        size = max(layout.code, layout.previous, layout.instruction, layout.owner or 0) + 8
        for _ in range(MOST_FRAMES):
            if not frame:
                return
            raw = self._read(frame, size)
            code, frame = _at(raw, layout.code), _at(raw, layout.previous)
            if layout.owner is not None and raw[layout.owner] == OWNED_BY_CSTACK:
                yield Function("", "", None, entry=True)
                continue
            entry = layout.owner is None or bool(layout.entry and raw[layout.entry])
            yield self._function(code, raw, entry=entry)

    def _function(self, address: int, raw: bytes, *, entry: bool) -> Function:
        code, layout = self._code(address), self.layout
        if layout.bytecode is None:
            (last,) = struct.unpack_from("<i", raw, layout.instruction)
            offset = last * 2 if self.minor >= 10 else last
        else:
            offset = _at(raw, layout.instruction) - address - layout.bytecode
        if not -2 <= offset < 1 << 24:
            raise Torn("an instruction outside its function")
        return Function(code.name, code.file, self._line(code, offset), entry)

    def _line(self, code: Code, offset: int) -> int | None:
        """The line of an instruction; for one without the line before it."""
        rows = {9: rows_3_9, 10: rows_3_10}.get(self.minor, rows_3_11)(code)
        found = code.first
        for start, end, line in rows:
            self.rows -= 1
            if self.rows < 0:
                raise Torn("too many rows of lines")
            found = line or found
            if start <= max(offset, 0) < end:
                break
        return found

    def _code(self, address: int) -> Code:
        if address not in self.codes:
            layout = self.layout
            size = max(layout.filename, layout.name, layout.linetable, layout.firstlineno) + 8
            raw = self._read(address, size)
            (first,) = struct.unpack_from("<i", raw, layout.firstlineno)
            self.codes[address] = Code(
                self._text(_at(raw, layout.name)),
                self._text(_at(raw, layout.filename)),
                first,
                self._bytes(_at(raw, layout.linetable)),
            )
        return self.codes[address]

    def _text(self, address: int) -> str:
        layout = self.layout
        raw = self._read(address, layout.ascii)
        length, state = _at(raw, layout.length), raw[layout.state]
        kind = state >> 2 & 7
        if not state & _COMPACT or kind not in {1, 2, 4}:
            raise Torn("a text")
        shown = min(length, MOST_TEXT)
        data = address + (layout.ascii if state & _ASCII else layout.compact)
        coding = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind]
        text = self._read(data, shown * kind).decode(coding, "backslashreplace") if shown else ""
        return text + ("…" if length > shown else "")

    def _bytes(self, address: int) -> bytes:
        size = self._word(address + self.layout.bytes_size)
        if size > MOST_TABLE:
            raise Torn("a table of lines")
        return self._read(address + self.layout.bytes_data, size) if size else b""


def _at(raw: bytes, offset: int) -> int:
    return int.from_bytes(raw[offset : offset + 8], "little")


def interpreter(process: Process) -> Interpreter | None:
    """The CPython of a process; None if there is none, or for an unknown version."""
    for mapping in process.maps.named(_MODULE):
        image = process.image(mapping.start)
        variables = image and _variables(image.elf)
        if image and variables and b"_PyRuntime" in variables:
            try:
                return _known(process, image, variables, mapping.path)
            except BROKEN:
                return None
    return None


def _known(
    process: Process, image: Image, variables: dict[bytes, int], path: bytes
) -> Interpreter | None:
    runtime = variables[b"_PyRuntime"] + image.bias
    if b"Py_Version" in variables:
        raw = process.memory(variables[b"Py_Version"] + image.bias, 8)
        version = int.from_bytes(raw, "little")
        minor = version >> 16 & 0xFF if version >> 24 == 3 else 0
    else:
        match = _MODULE.match(path.rpartition(b"/")[2].removeprefix(b"lib"))
        minor = int(match[1] or 0) if match else 0
    layout = LAYOUTS.get(minor) or described(process.memory(runtime, DEBUG_OFFSETS))
    return Interpreter(process, runtime, layout, minor) if layout else None
