"""The Ruby functions of a thread: Ruby 3.0 to 3.4, read from memory without stopping it.

`ruby_current_vm_ptr` leads to the threads of the main ractor, each of these to its execution
context, and that to its control frames. From 3.3 on the variable is not exported: it is the one
that the code of `ruby_vm_at_exit` reads first. Functions that are written in C are frames of the
program and have no row here. Sources: vm_core.h, vm_backtrace.c.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from procmirror.stack.checked_memory import CheckedMemory, ContradictionError
from procmirror.stack.elf import BROKEN, Elf, remembered
from procmirror.stack.interpreted import Function, Functions, cut, walked
from procmirror.stack.process import Image, Process
from procmirror.stack.ruby_layouts import LAYOUTS, Layout
from procmirror.stack.ruby_lines import line
from procmirror.stack.symbols import variable

MOST_THREADS = 10_000
MOST_STACK = 1 << 27  # words
_READER = b"ruby_vm_at_exit"
_READER_BYTES = 64
# mov of a register from a variable: REX.W, opcode, a ModRM byte that counts from rip.
_READS = re.compile(rb"\x48\x8b[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](....)", re.DOTALL)
_MAIN_THREAD = 40  # in rb_vm_t: self, the list of ractors, two counts, the main ractor
_RACTOR = 24  # in rb_thread_t: the ractor, the VM
_RACTOR_BYTES = 4096
_BODY = 16  # in rb_iseq_t
_ENCODED, _PATH, _LABEL = 8, 64, 80  # in its body, which begins with its kind
_HANDLERS = {4, 5}  # kinds of bodies: rescue, ensure
_PARTS = _HANDLERS | {6}  # and eval
MOST_PARTS = 256
_FINISH, _OF_C = 0x20, 0x80  # flags of a frame
# Types of objects, in the low bits of their flags: include/ruby/internal/value_type.h.
_T_STRING, _T_ARRAY, _T_MASK = 5, 7, 31
_ELSEWHERE = 1 << 13  # of a text: it does not stand in the object itself


class _Frame(NamedTuple):
    """A frame of Ruby: its instructions, the place in them, and whether C began it."""

    sequence: int
    at: int
    entry: bool


class _Sequence(NamedTuple):
    """A sequence of instructions: its function and file, the places of the code and its body."""

    name: str
    file: str
    encoded: int
    body: int


class Ruby:
    """Ruby in one process, for one request."""

    language = "Ruby"
    executes = frozenset({b"rb_vm_exec", b"vm_exec"})
    one_stack = False

    def __init__(self, process: Process, vm: int, layout: Layout) -> None:
        self.memory = CheckedMemory(process)
        self._vm, self._layout = vm, layout
        self._sequences: dict[int, _Sequence] = {}
        self._replacing: dict[int, bool] = {}
        self._threads: dict[int, int] | None = None

    def functions(self, thread: int) -> Functions[Function] | None:
        """The functions of a thread by its number in its own namespace."""
        self.memory.forget()
        if self._threads is None:
            self._threads = dict(self._listed())
        address = self._threads.get(thread)
        if address is None or self._number(address) != thread:
            return None
        steps = self._frames(self.memory.word(address + self._layout.context))
        found, reason = walked(steps, lambda: self.memory.plenty)
        return cut(found, reason, lambda one: one.entry, self._function)

    def _listed(self) -> Iterator[tuple[int, int]]:
        """The kernel's number and the address of each thread of the main ractor."""
        ractor, first = self.memory.words(self._vm + _MAIN_THREAD - 8, 2)
        if self.memory.words(first + _RACTOR, 2) != (ractor, self._vm):
            raise ContradictionError("a main thread")
        thread = first
        for _ in range(MOST_THREADS):
            if not ractor <= thread < ractor + _RACTOR_BYTES:
                yield self._number(thread), thread
            thread = self.memory.word(thread)
            if thread == first:
                return

    def _number(self, thread: int) -> int:
        if self._layout.native is not None:
            thread = self.memory.word(thread + self._layout.native)
        return self.memory.half(thread + self._layout.tid) if thread else 0

    def _frames(self, context: int) -> Iterator[_Frame]:
        """The frames, of which since 3.4 a rescue or ensure stands for the one around it."""
        inner: _Frame | None = None
        for frame in self._controls(context):
            if inner:
                yield inner._replace(entry=inner.entry or frame.entry)
                inner = None
            elif self._replaces(frame.sequence):
                inner = frame
            else:
                yield frame
        if inner:
            yield inner

    def _replaces(self, sequence: int) -> bool:
        if self._layout.part is None:
            return False
        if sequence not in self._replacing:
            body = self.memory.word(sequence + _BODY)
            self._replacing[sequence] = self.memory.half(body) in _HANDLERS
        return self._replacing[sequence]

    def _controls(self, context: int) -> Iterator[_Frame]:
        """Each frame of Ruby, those of C left out."""
        stack, words, frame = self.memory.words(context, 3)
        size = self._layout.frame
        end = stack + 8 * words - size  # the outermost one is none of a function
        if words > MOST_STACK or not stack <= frame <= end or (end - frame) % size:
            raise ContradictionError("a stack")
        for address in range(frame, end, size):
            at, _, sequence, _, environment = self.memory.words(address, 5)
            flags = self.memory.word(environment)
            if sequence and at and not flags & _OF_C:
                yield _Frame(sequence, at, bool(flags & _FINISH))

    def _function(self, frame: _Frame) -> Function:
        if frame.sequence not in self._sequences:
            self._sequences[frame.sequence] = self._sequence(frame.sequence)
        found = self._sequences[frame.sequence]
        position = (frame.at - found.encoded) // 8
        described = found.body + self._layout.described
        number = line(self.memory, described, self._layout.entry, max(position - 1, 0))
        return Function(found.name, found.file, number, frame.entry)

    def _sequence(self, address: int) -> _Sequence:
        body = self.memory.word(address + _BODY)
        path = self.memory.word(body + _PATH)
        if self.memory.word(path) & _T_MASK == _T_ARRAY:
            path = self.memory.word(path + 16)  # the path as it was given; the real one follows
        label = self.memory.word(self._whole(body) + _LABEL)
        encoded = self.memory.word(body + _ENCODED)
        return _Sequence(self._text(label), self._text(path), encoded, body)

    def _whole(self, body: int) -> int:
        """The body whose name a frame has: that of the function around a part of it."""
        part = self._layout.part
        for _ in range(MOST_PARTS):
            if part is None or self.memory.half(body) not in _PARTS:
                return body
            body = self.memory.word(self.memory.word(body + part) + _BODY)
        raise ContradictionError("a part of a function")

    def _text(self, address: int) -> str:
        flags, _, length, place = self.memory.words(address, 4)
        if flags & _T_MASK != _T_STRING:
            raise ContradictionError("a text")
        if not flags & _ELSEWHERE:
            short = self._layout.embedded
            length = flags >> 14 & 31 if short else length
            place = address + (16 if short else 24)
        return self.memory.text(place, length)


@remembered
def _variables(elf: Elf) -> tuple[int, int] | None:
    """The addresses of the interpreter's variables in its file."""
    version = variable(elf, b"ruby_api_version")
    vm = version and (variable(elf, b"ruby_current_vm_ptr") or _read_first(elf, _READER))
    return (vm, version) if vm and version else None


def _read_first(elf: Elf, function: bytes) -> int | None:
    """The variable that a function reads first."""
    start = variable(elf, function)
    if not start:
        return None
    match = _READS.search(elf.at(elf.offset(start), _READER_BYTES))
    return match and start + match.end() + int.from_bytes(match[1], "little", signed=True)


def ruby(process: Process, image: Image) -> Ruby | None:
    """The Ruby of a file; None if there is none in it, or for an unknown version."""
    found = _variables(image.elf)
    if found is None:
        return None
    vm, version = found
    try:
        major, minor = struct.unpack("<ii", process.memory(version + image.bias, 8))
        (address,) = struct.unpack("<Q", process.memory(vm + image.bias, 8))
    except BROKEN:
        return None
    layout = LAYOUTS.get(minor) if major == 3 else None
    return Ruby(process, address, layout) if layout and address else None
