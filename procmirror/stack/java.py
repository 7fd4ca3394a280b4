"""The methods of Java that a thread executes: HotSpot, read without stopping it.

Each thread that left Java for C++ or a system call has its last frame in its anchor. From there the
frames of the interpreter are linked by the frame pointer, those of compiled code have a known size,
and an entry from C++ has the anchor of the frames before. Source: runtime/frame_x86.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from procmirror.stack.architecture import X86_64
from procmirror.stack.checked_memory import CheckedMemory, ContradictionError
from procmirror.stack.elf import BROKEN
from procmirror.stack.frames import RBP, RSP
from procmirror.stack.hotspot_structs import Structures, structures
from procmirror.stack.interpreted import MOST_WALKED, Function, Functions, cut, walked
from procmirror.stack.java_code import Code, CodeCache
from procmirror.stack.java_methods import Methods
from procmirror.stack.process import Image, Process

VERSIONS = {17, 21, 25}  # of OpenJDK
_COUNTED_FROM_1 = 20  # since then no byte of a number of UNSIGNED5 is 0
MOST_THREADS = 10_000
# In a frame of the interpreter, from its frame pointer.
_SENDER, _METHOD, _BYTECODE = -8, -24, -64
_BCP = 13  # the register that the interpreter keeps the address of the bytecode in
_WRAPPER = -48  # in the frame of an entry from C++


class _Place(NamedTuple):
    """A frame: its stack pointer, its frame pointer, where it goes on."""

    sp: int
    fp: int
    pc: int


class _Executed(NamedTuple):
    """A method that is executed, the index of the bytecode in it, and `Function.within`."""

    method: int
    bytecode: int
    within: range


class Java:
    """Java in one process, for one request."""

    language = "Java"
    executes: frozenset[bytes] = frozenset()
    one_stack = False

    def __init__(self, described: Structures, version: int) -> None:
        self._at, self.memory = described, described.memory
        self._known: dict[int, int] | None = None
        least = int(version >= _COUNTED_FROM_1)
        self._code, self._methods = CodeCache(described, least), Methods(described, least)
        self._system = described.described(b"JavaThread::_osthread", b"Thread::_osthread")

    def functions(self, thread: int) -> Functions[Function] | None:
        """The methods of a thread by its number in its own namespace."""
        self.memory.forget()
        if self._known is None:
            self._known = {self._number(one): one for one in self._threads()}
        address = self._known.get(thread)
        if address is None or self._number(address) != thread:
            return None
        anchor = self._anchored(address + self._at.offset(b"JavaThread::_anchor"))
        return self._shown(*walked(self._frames(anchor), lambda: self.memory.plenty))

    def _shown(self, found: list[_Executed], reason: str | None) -> Functions[Function]:
        return cut(found, reason, lambda _: False, self._function)

    def running(
        self, copied: tuple[int, bytes], registers: dict[int, int], pc: int
    ) -> Functions[Function] | None:
        """The methods of a thread at the moment of a sample: its stack and registers.

        None in code that was not generated, and where the frames do not lead to the outermost one.
        """
        self.memory.begin_sample(copied)
        try:
            return self._running(_Place(registers[RSP], registers[RBP], pc), registers[_BCP])
        finally:
            self.memory.end_sample()

    def _running(self, place: _Place, bytecode: int) -> Functions[Function] | None:
        code = self._code.holding(place.pc)
        if code is None or not (code.compiled or code.name == b"Interpreter"):
            return None
        within = range(place.pc, place.pc + 1)
        if code.compiled:
            methods = self._code.methods(code, place.pc)
            found = [_Executed(*one, within) for one in methods]
        else:
            method = self.memory.word(place.fp + _METHOD)
            found = [_Executed(method, bytecode - self._methods.begins(method), within)]
        right = self._outward(code, place)
        return self._shown([*found, *right[1]], right[2]) if right else None

    def _outward(
        self, code: Code, place: _Place
    ) -> tuple[_Place, list[_Executed], str | None] | None:
        """The caller of a frame that is interrupted anywhere, and the methods from there outwards.

        Of the places where it may be, the right one leads to the outermost frame.
        """
        for caller in self._callers(code, place):
            with suppress(*BROKEN):
                frames = self._frames(caller, first=False, strict=True)
                return caller, *walked(frames, lambda: False)
        return None

    def interrupted(
        self, copied: tuple[int, bytes], registers: dict[int, int], pc: int
    ) -> tuple[int, int, int] | None:
        """As `caller`, of generated code at the moment of a sample: its stack and registers."""
        self.memory.begin_sample(copied)
        try:
            place = _Place(registers[RSP], registers[RBP], pc)
            code = self._code.holding(pc)
            known = code and (code.compiled or code.name == b"Interpreter")
            found = self._outward(code, place) if code and known else None
        finally:
            self.memory.end_sample()
        return (found[0].sp, found[0].fp, found[0].pc) if found else None

    def _callers(self, code: Code, place: _Place) -> Iterator[_Place]:
        """Where the caller of a frame may be that is interrupted anywhere.

        A compiled method makes its frame with its first instructions and drops it with its last.
        """
        if not code.compiled or self._code.is_set_up(code, place.pc):
            yield self._caller(code, place)
        if code.compiled:
            link, goes_on = self.memory.words(place.sp, 2)
            yield _Place(place.sp + 8, place.fp, link)
            yield _Place(place.sp + 16, link, goes_on)

    def caller(
        self, word: Callable[[int], int | None], sp: int, fp: int | None, pc: int
    ) -> tuple[int, int, int] | None:
        """The stack pointer, frame pointer and program counter of the caller of generated code.

        `word` reads the stack. None where that is not known.
        """
        code = self._code.holding(pc)
        if code is None:
            return None
        if code.name == b"Interpreter" and fp is not None:
            saved, outer = fp, word(fp + _SENDER)
        elif fp is not None and pc == self._entry:
            saved, outer = fp, fp + 16
        else:
            outer = sp + code.frame if code.frame else None
            saved = (outer or 0) - 16
        link, goes_on = (word(saved), word(saved + 8)) if outer else (None, None)
        if outer is None or link is None or goes_on is None:
            return None
        return outer, link, goes_on

    @property
    def _entry(self) -> int:
        """Where an entry from C++ goes on."""
        return self._at.static(b"StubRoutines::_call_stub_return_address")

    def _threads(self) -> tuple[int, ...]:
        listed = self._at.static(b"ThreadsSMRSupport::_java_thread_list")
        count = self._at.half(listed, b"ThreadsList::_length")
        threads = self._at.field(listed, b"ThreadsList::_threads")
        return self.memory.words(threads, min(count, MOST_THREADS - 1))

    def _number(self, thread: int) -> int:
        system = self._at.field(thread, self._system)
        return self._at.half(system, b"OSThread::_thread_id") if system else 0

    def _anchored(self, anchor: int) -> _Place | None:
        """The frame that an anchor holds."""
        sp, fp, pc = (
            self._at.field(anchor, b"JavaFrameAnchor::_last_Java_" + one)
            for one in (b"sp", b"fp", b"pc")
        )
        return _Place(sp, fp, pc or self.memory.word(sp - 8)) if sp else None

    def _frames(
        self, place: _Place | None, *, first: bool = True, strict: bool = False
    ) -> Iterator[_Executed]:
        """The methods from a frame outwards; ContradictionError for what is none.

        `strict`: what no call can have left is none either.
        """
        pieces: dict[int, Code | None] = {}
        for _ in range(2 * MOST_WALKED):
            if place is None:
                return
            if place.pc not in pieces:
                pieces[place.pc] = self._code.holding(place.pc)
            code = pieces[place.pc]
            if code is None:
                raise ContradictionError("a frame outside generated code")
            if place.pc == self._entry:
                wrapper = self.memory.word(place.fp + _WRAPPER)
                place = self._anchored(wrapper + self._at.offset(b"JavaCallWrapper::_anchor"))
                first = True
                continue
            if strict and code.compiled and not self._code.describes(code, place.pc):
                raise ContradictionError("a place that is no call")
            yield from self._of_frame(code, place, first=first)
            place, first = self._caller(code, place), False
        raise ContradictionError("frames without end")

    def _of_frame(self, code: Code, place: _Place, *, first: bool) -> Iterator[_Executed]:
        within = range(code.start, code.end) if first else range(place.pc, place.pc + 1)
        if code.name == b"Interpreter":
            method, bytecode = (self.memory.word(place.fp + one) for one in (_METHOD, _BYTECODE))
            index = bytecode - self._methods.begins(method)
            yield _Executed(method, index, within)
        elif code.compiled:
            for method, index in self._code.methods(code, place.pc):
                yield _Executed(method, index, within)

    def _function(self, one: _Executed) -> Function:
        found = self._methods.method(one.method)
        line = self._methods.line(*one[:2]) if found.file and one.bytecode >= -1 else None
        return Function(found.name, found.file, line, entry=False, within=one.within)

    def _caller(self, code: Code, place: _Place) -> _Place:
        """The frame that called this one."""
        if code.name == b"Interpreter":
            fp, pc = self.memory.words(place.fp, 2)
            found = _Place(self.memory.word(place.fp + _SENDER), fp, pc)
        else:
            sp = place.sp + code.frame
            fp, pc = self.memory.words(sp - 16, 2)
            found = _Place(sp, fp, pc)
        if found.sp <= place.sp:
            raise ContradictionError("a frame that is no caller")
        return found


def java(process: Process, image: Image) -> Java | None:
    """The Java of a file; None without one, for an unknown version, and on other processors.

    There the frames of generated code are others.
    """
    if process.architecture is not X86_64:
        return None
    described = structures(CheckedMemory(process), image)
    if described is None:
        return None
    version = described.memory.half(described.address(b"Abstract_VM_Version::_vm_major_version"))
    return Java(described, version) if version in VERSIONS else None
