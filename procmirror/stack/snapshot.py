"""The stack of one thread as it was at one moment, read without stopping it.

A thread may run while it is read. It did not if both its `syscall` line and a counter that changes
whenever it is switched in or out are the same before and afterwards: the line alone misses a thread
that came back to the same place, the counter alone one that is still on its way to sleep. The
counter is the third number of `schedstat`; where the kernel does not keep that (it stays 0), the
switches in `status`.
"""

from __future__ import annotations

import errno
import re
import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache

from procmirror.decoding.proc_files import status_value
from procmirror.decoding.reasons import expected
from procmirror.decoding.view import Reading
from procmirror.stack.process import Process

MOST_STACK = 256 << 10
MOST_ELSEWHERE = 64 << 10
MOST_IN_ALL = 16 << 20  # of one thread; a place that is read counts for at least CHARGED bytes
CHARGED = 32 << 10
PAGE = 4096
KEPT = 4  # pieces beside the first
TRIES = 3
RUNNING = b"running"
_WIDE, _NARROW = struct.Struct("<Q"), struct.Struct("<I")
# A number below 0 says that there is no call, and then there are no arguments (proc_pid_syscall).
_LINE = re.compile(rb"(-\d{1,10}(?= \S+ \S+$)|\d{1,10}(?=(?: \S+){8}$))((?: 0x[0-9a-f]{1,16})+)")


@dataclass(frozen=True)
class Where:
    """A `syscall` line.

    The number of the call (-1 outside one), its arguments, the stack pointer and the program
    counter.
    """

    number: int
    arguments: tuple[int, ...]
    sp: int
    pc: int


@lru_cache(8)
def where(line: bytes) -> Where | None:
    """The registers in a `syscall` line; None while the thread runs.

    A kernel thread shows zeros, which would mean `read(0, …)`: a program counter of 0 means that
    there is no user context. Raises ValueError for a line that is none of the three forms.
    """
    if line == RUNNING:
        return None
    match = _LINE.fullmatch(line)
    if match is None:
        raise expected("running, or NUMBER ARGUMENT… SP PC", line)
    *arguments, sp, pc = (int(word, 16) for word in match[2].split())
    return Where(int(match[1]), tuple(arguments), sp, pc)


class Thread:
    """The files of one thread."""

    def __init__(self, reading: Reading, directory: str) -> None:
        self.reading = reading
        self.directory = directory

    def read(self, name: str) -> bytes:
        """The whole of one of its files."""
        return self.reading.read(self.directory + name)

    def optional(self, name: str) -> bytes | OSError:
        """The whole of one of its files, or the OSError."""
        try:
            return self.read(name)
        except OSError as error:
            return error

    def switches(self) -> bytes:
        """A counter that changes whenever the thread has been on a CPU."""
        counted = self.optional("schedstat")
        if isinstance(counted, bytes):
            fields = counted.split()
            if len(fields) > 2 and fields[2] != b"0":
                return fields[2]
        status = self.read("status")
        keys = (b"voluntary_ctxt_switches", b"nonvoluntary_ctxt_switches")
        return b" ".join(status_value(status, key) for key in keys)


class Memory:
    """The copy of the stack.

    Other private writable memory is read if a frame lies there: the rest of a long stack, and the
    stack that a signal handler left (sigaltstack).
    """

    def __init__(self, process: Process, sp: int) -> None:
        self.process = process
        self.elsewhere = False
        self.exhausted = False
        self.left = MOST_IN_ALL
        self.copied: list[tuple[int, bytes]] = []
        self._copy(sp, MOST_STACK)

    @classmethod
    def of(cls, process: Process, copied: list[tuple[int, bytes]], left: int) -> Memory:
        """The memory of a process whose stack was copied before."""
        memory = cls.__new__(cls)
        memory.process, memory.copied, memory.left = process, list(copied), left
        memory.elsewhere = memory.exhausted = False
        return memory

    def _copy(self, address: int, most: int) -> bytes:
        mapping = self.process.maps.holding(address)
        if mapping is None or not mapping.stackable:
            return b""
        if self.left <= 0:
            self.exhausted = True
            return b""
        content = self.process.memory(address, min(mapping.end - address, most, self.left))
        self.left -= max(len(content), CHARGED)
        if len(self.copied) > KEPT:
            del self.copied[1]
        self.copied.append((address, content))
        return content

    @property
    def end(self) -> int:
        """The end of the stack that was copied first."""
        return self.copied[0][0] + len(self.copied[0][1]) if self.copied else 0

    def word(self, address: int) -> int | None:
        """The word of the program at `address`, if it is known or may still be read."""
        shape = self._word
        size = shape.size
        for start, content in self.copied:
            if 0 <= (at := address - start) <= len(content) - size:
                return int(shape.unpack_from(content, at)[0])
        self.elsewhere = True
        page = address & -PAGE  # so that words just below need no other read
        try:
            content = self._copy(page, MOST_ELSEWHERE)
        except OSError:
            return None
        word = content[address - page :][:size]
        return int.from_bytes(word, "little") if len(word) == size else None

    @cached_property
    def _word(self) -> struct.Struct:
        return _NARROW if self.process.narrow else _WIDE


@dataclass(frozen=True)
class Snapshot:
    """What was read of a thread; a part that may not be read is its OSError.

    `steady` is false if the thread ran during each try; `memory` is None where there is no user
    context.
    """

    thread: Thread
    line: bytes | OSError
    kernel: bytes | OSError
    memory: Memory | OSError | None
    steady: bool
    switches: bytes | OSError

    @property
    def where(self) -> Where | None:
        """The registers that are known; None for a thread that runs or may not be looked at."""
        return where(self.line) if isinstance(self.line, bytes) else None

    def still_steady(self) -> bool:
        """Whether the thread has not run since."""
        return (
            self.thread.optional("syscall") == _line(self.line)
            and _switches(self.thread) == self.switches
        )


def _line(line: bytes | OSError) -> bytes | None:
    return line + b"\n" if isinstance(line, bytes) else None


def _switches(thread: Thread) -> bytes | OSError:
    try:
        return thread.switches()
    except OSError as error:
        return error


def taken(thread: Thread, process: Process | None) -> Snapshot:
    """A snapshot of `thread`, after three tries an unsteady one.

    Without its `process` no memory is read.
    """
    snapshot = _once(thread, process)
    for _ in range(TRIES - 1):
        if snapshot.steady:
            break
        snapshot = _once(thread, process)
    return snapshot


def _once(thread: Thread, process: Process | None) -> Snapshot:
    switches = _switches(thread)
    raw = thread.optional("syscall")
    line = raw.removesuffix(b"\n") if isinstance(raw, bytes) else raw
    try:
        at = where(line) if isinstance(line, bytes) else None
    except ValueError:
        line, at = OSError(errno.EILSEQ, "not a line of syscall"), None
    memory: Memory | OSError | None = None
    if at and at.pc and process:
        try:
            memory = Memory(process, at.sp)
        except OSError as error:
            memory = error
    kernel = thread.optional("stack")
    snapshot = Snapshot(thread, line, kernel, memory, steady=True, switches=switches)
    if memory is None or isinstance(memory, OSError) or snapshot.still_steady():
        return snapshot
    return Snapshot(thread, line, kernel, memory, steady=False, switches=switches)
