"""All goroutines of a Go program: state, why it waits, and its frames, as the runtime keeps them.

The list `runtime.allgs` is found by its symbol, or in a stripped program as the one slice that
`runtime.forEachG` reads. Each goroutine that does not run has its stack pointer and program counter
in `runtime.g`; one that went on between two looks has no frames.

Source: runtime/runtime2.go of Go 1.18 to 1.27, debug/buildinfo.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

from procmirror.stack import golang
from procmirror.stack.elf import BROKEN, Elf, remembered
from procmirror.stack.frames import RSP, Frame
from procmirror.stack.goroutine_layouts import LAYOUTS, Layout
from procmirror.stack.process import Image, Process
from procmirror.stack.snapshot import Memory
from procmirror.stack.symbols import variable
from procmirror.stack.unwind import Stack, Unwinder

MOST_GOROUTINES = 500  # that are shown
MOST_LISTED = 1 << 17  # that are looked at for one that lives
MOST_STACK = 64 << 10  # of one goroutine that is read
_BLOCK = 4096  # goroutines of the list that are read at once
_BUILD_INFO = b"\xff Go buildinf:"
_INLINE_STRINGS = 2
_VERSION = re.compile(rb"go1\.(\d+)")
_MOST_VERSION = 64
_MOST_TEXTS, _MOST_DATA, _MOST_VERSIONS = 16 << 20, 2 << 20, 256
_LIST = b"runtime.allgs"
_LISTING = b"runtime.forEachG"
_MOST_LISTING = 1024  # bytes of its code
# mov or cmp or lea of a register and a variable: REX.W, opcode, a ModRM byte that counts from rip.
_READS = re.compile(rb"[\x48\x4c](?:\x8b|\x39|\x3b|\x8d)[\x05\x0d\x15\x1d\x25\x2d\x35\x3d]")
_READ = 7  # bytes of such an instruction

_RUNNING, _SYSCALL, _WAITING = 2, 3, 4
_STATES = {
    0: "idle",
    1: "runnable",
    _RUNNING: "running",
    _SYSCALL: "syscall",
    _WAITING: "waiting",
    8: "copystack",
    9: "preempted",
    10: "leaked",
}
_DEAD = {6, 11}
_SCANNED = 0x1000  # the garbage collector looks at it
_SCHED = 56  # gobuf: stack pointer, program counter
_G_BYTES = 256


@dataclass(frozen=True)
class Goroutine:
    """One goroutine; `wait` is None where it does not wait or the version's words are not known."""

    number: int
    state: str
    wait: str | None
    stack: Stack


class Program:
    """The Go program of one process."""

    def __init__(self, process: Process, image: Image, layout: Layout, listed: int) -> None:
        self._process, self._image, self._layout = process, image, layout
        self._listed = listed

    def goroutines(self, deadline: float) -> tuple[list[Goroutine], int]:
        """The living goroutines in the order of their creation, and how many more are in the list.

        Raises BROKEN for a list that is none.
        """
        found: list[Goroutine] = []
        where, count = struct.unpack("<QQ", self._exactly(self._listed, 16))
        if count > MOST_LISTED:
            raise ValueError("a list of goroutines that is too long")
        for at, address in enumerate(self._addresses(where, count)):
            if len(found) >= MOST_GOROUTINES or self._process.target.clock() > deadline:
                return found, count - at
            if one := self._goroutine(address, deadline):
                found.append(one)
        return found, 0

    def _addresses(self, where: int, count: int) -> Iterator[int]:
        for at in range(0, count, _BLOCK):
            some = min(_BLOCK, count - at)
            yield from struct.unpack(f"<{some}Q", self._exactly(where + 8 * at, 8 * some))

    def _exactly(self, address: int, size: int) -> bytes:
        raw = self._process.memory(address, size)
        if len(raw) != size:
            raise ValueError("memory that ends too early")
        return raw

    def _goroutine(self, address: int, deadline: float) -> Goroutine | None:
        """One goroutine; None for one that has ended."""
        layout = self._layout
        raw = self._exactly(address, _G_BYTES)
        (status,) = struct.unpack_from("<I", raw, layout.status)
        state = status & ~_SCANNED
        if state in _DEAD:
            return None
        (number,) = struct.unpack_from("<Q", raw, layout.number)
        wait = None
        if state == _WAITING and raw[layout.reason] < len(layout.reasons):
            wait = layout.reasons[raw[layout.reason]]
        stack = self._stack(raw, state, deadline)
        if stack.frames and self._moved(raw, self._exactly(address, _G_BYTES)):
            stack = Stack([], "it went on while it was read")
        return Goroutine(number, _STATES.get(state, str(state)), wait, stack)

    def _moved(self, before: bytes, after: bytes) -> bool:
        """Whether a goroutine went on between two looks."""

        def place(raw: bytes) -> tuple[Any, ...]:
            at = self._layout
            return raw[_SCHED : _SCHED + 16], raw[at.syscall : at.syscall + 16], raw[:16]

        return place(before) != place(after)

    def _stack(self, raw: bytes, state: int, deadline: float) -> Stack:
        if state == _RUNNING:
            return Stack([], "running: its frames are those of a thread")
        low, high = struct.unpack_from("<QQ", raw, 0)
        at = self._layout.syscall if state == _SYSCALL else _SCHED
        sp, pc = struct.unpack_from("<QQ", raw, at)
        if not low <= sp < high:
            return Stack([], "no stack pointer")
        try:
            copied = self._process.memory(sp, min(high - sp, MOST_STACK))
        except OSError as error:
            return Stack([], str(error.strerror))
        memory = Memory.of(self._process, [(sp, copied)], 0)
        first = Frame(pc, {RSP: sp}, innermost=True)
        return Unwinder(self._process, memory, deadline).begun(first)


def program(process: Process) -> Program | None:
    """The Go program of a process; None for another one, or of a version that is not known."""
    image = _image(process)
    if image is None:
        return None
    try:
        version, listed = _version(image.elf), _listed(image.elf)
    except BROKEN:
        return None
    layout = LAYOUTS.get(version or 0)
    if layout is None or listed is None:
        return None
    return Program(process, image, layout, listed + image.bias)


def _image(process: Process) -> Image | None:
    """The program itself, whose code is mapped first, if it is Go's."""
    for mapping in process.maps.code():
        image = process.image(mapping.start)
        return image if image and golang.is_go(image.elf) else None
    return None


@remembered
def _version(elf: Elf) -> int | None:
    """The minor version of Go that built a file, by its build information or its own variable."""
    section = elf.by_name.get(b".go.buildinfo")
    if section is None:
        return _built_by(elf)
    raw = elf.at(section.offset, min(section.size, 32 + 1 + _MOST_VERSION))
    if not raw.startswith(_BUILD_INFO) or not raw[15] & _INLINE_STRINGS:
        return None
    match = _VERSION.match(raw[33 : 33 + min(raw[32], _MOST_VERSION)])
    return int(match[1]) if match else None


def _built_by(elf: Elf) -> int | None:
    """The minor version by `runtime.buildVersion`: the string of the data whose text is one."""
    section = elf.by_name.get(b".rodata")
    if section is None or section.size > _MOST_TEXTS:
        return None
    texts = elf.bulk(section.offset, section.size)
    matches = islice(_VERSION.finditer(texts), _MOST_VERSIONS)
    versions = {section.address + match.start(): int(match[1]) for match in matches}
    data = [elf.by_name[name] for name in (b".data", b".noptrdata") if name in elf.by_name]
    raw = b"".join(elf.bulk(one.offset, min(one.size, _MOST_DATA) & -8) for one in data)
    words = array("Q", raw)
    found = {
        versions[word]
        for word, size in pairwise(words)
        if word in versions and size <= _MOST_VERSION
    }
    return found.pop() if len(found) == 1 else None


@remembered
def _listed(elf: Elf) -> int | None:
    """Where the slice `runtime.allgs` is, in the file's own addresses."""
    found = variable(elf, _LIST)
    if found:
        return found
    function = golang.named(elf, _LISTING)
    if function is None:
        return None
    start, end = function
    code = elf.bulk(elf.offset(start), min(end - start, _MOST_LISTING))
    read = set()
    for match in _READS.finditer(code):
        after = match.start() + _READ
        distance = int.from_bytes(code[after - 4 : after], "little", signed=True)
        read.add(start + after + distance)
    # Address and length of the slice stand side by side.
    pairs = {address for address in read if address + 8 in read}
    return pairs.pop() if len(pairs) == 1 else None
