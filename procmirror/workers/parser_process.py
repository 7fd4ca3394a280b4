"""The processes that parse what others wrote: without a capability, root's user id, files, calls.

One server forks them. It starts before the first request and never parses anything itself, so
nothing of a requester is in its memory, and it has no rights that a parser could inherit. A parser
has its socket, reads the files that it is sent, and computes; any other system call ends it.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from procmirror.decoding.view import FileStatus
from procmirror.identity import linux, seccomp
from procmirror.identity.credentials import drop_all
from procmirror.identity.errors import error
from procmirror.stack.process import FILES, Process
from procmirror.stack.target import Bare, MappedFile
from procmirror.stack.user_side import HereParser
from procmirror.workers.parsing import (
    MOST_FILES,
    Answer,
    Channel,
    DebugFile,
    DebugLinks,
    Done,
    Mapped,
    Memory,
    PerfMap,
    Question,
    Work,
    decode_answer,
    decode_order,
)

# What a parser may take: bytes of memory, and of the processor in its whole life.
_MEMORY_BYTES = 512 << 20
_CPU_SECONDS = 60
# After so many seconds of the processor it is replaced.
_RETIRE_SECONDS = 20.0
_MOST_OPEN = 1024
# The longest read of memory that one question asks for.
_READ_BYTES = 1 << 16


def serve(birthplace: socket.socket) -> NoReturn:
    """Fork a parser for each socket that comes through `birthplace`, to which its pidfd is sent."""
    linux.close_all_but({0, 1, 2, birthplace.fileno()})
    _let_go_of_streams()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    drop_all()
    linux.die_with_parent()
    _limit()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(birthplace, 1, 1)
        if not message:
            os._exit(0)
        for descriptor in descriptors:
            with socket.socket(fileno=descriptor) as connected:
                _bear(birthplace, connected)


def _let_go_of_streams() -> None:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_DATA, _MEMORY_BYTES),
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_NOFILE, _MOST_OPEN),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        _, hard = resource.getrlimit(what)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


def _bear(birthplace: socket.socket, connected: socket.socket) -> None:
    """Fork a parser; who waits for it gets nothing if that fails, and the end of the socket."""
    server = os.getpid()
    # A child that ends at once stays until it has a pidfd: its number is no other's before.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = -1
    with suppress(OSError):
        pid = os.fork()
    if pid == 0:
        try:
            linux.die_with_parent()
            if os.getppid() != server:
                os._exit(0)
            birthplace.close()
            _parse(Channel(connected))
        finally:
            os._exit(0)
    with suppress(OSError):
        watch = os.pidfd_open(pid)
        try:
            socket.send_fds(connected, [b"\0"], [watch])
        finally:
            os.close(watch)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _parse(channel: Channel) -> None:
    """Answer one worker until it goes away."""
    for number in (0, 1, 2):
        os.close(number)
    seccomp.only_compute()
    Parsing(channel).serve()


class Parsing:
    """The serving side of a parser's socket."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._remote: Remote | None = None
        self._parser: HereParser | None = None

    def serve(self) -> None:
        """Find user sides until the other side goes away."""
        while True:
            message, descriptors = self._channel.receive(MOST_FILES)
            if not message:
                return
            order = decode_order(message)
            if isinstance(order, Work):
                self._work(order, descriptors)
            else:
                self._end()
                self._channel.send(Done())

    def _work(self, order: Work, descriptors: list[int]) -> None:
        if order.maps is not None:
            self._end()
            self._remote = Remote(self._channel, order.maps)
            self._parser = HereParser(Process(self._remote))
        found = None
        if self._remote:
            self._remote.learn(order.told, descriptors)
        with suppress(MemoryError):
            if self._parser:
                found = self._parser.user_side(order.job)
        if order.job.last:
            self._end()
        retire = found is None or time.process_time() > _RETIRE_SECONDS
        self._channel.send(Done(found, retire))

    def _end(self) -> None:
        if self._remote:
            self._remote.close()
            FILES.settle()
        self._remote = self._parser = None


class Passed:
    """A file that was opened by another process, as a `MappedFile`."""

    def __init__(self, descriptor: int, key: tuple[int, ...], size: int) -> None:
        self._descriptor = descriptor
        self.key = key
        self.size = size

    def pread(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`."""
        return os.pread(self._descriptor, size, offset)

    def close(self) -> None:
        """Close it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Received(NamedTuple):
    """An answer as it came."""

    errno: int
    content: bytes
    files: Sequence[MappedFile]


class Remote(Bare):
    """A `Target` that asks the other side of a channel for everything but the time."""

    def __init__(self, channel: Channel, maps: bytes) -> None:
        super().__init__(_Maps(maps, self.memory))
        self._channel = channel
        self._files: list[Passed] = []
        self._told: dict[Question, _Received] = {}

    def learn(self, told: Sequence[tuple[Question, Answer]], descriptors: list[int]) -> None:
        """Take answers for one job, in place of those for the last one."""
        self._told = {question: self._received(one, descriptors) for question, one in told}

    def _received(self, answer: Answer, descriptors: list[int]) -> _Received:
        """An answer with its files, whose descriptors are the next ones."""
        passed = [Passed(descriptors.pop(0), key, size) for key, size in answer.files]
        self._files += passed
        return _Received(answer.errno, answer.content, passed)

    def _ask(self, question: Question) -> _Received:
        received = self._told.pop(question, None)
        if received is None:
            self._channel.send(question)
            message, descriptors = self._channel.receive(MOST_FILES)
            if not message:
                os._exit(0)
            received = self._received(decode_answer(message), descriptors)
        if received.errno:
            raise error(received.errno)
        return received

    def memory(self, offset: int, size: int) -> bytes:
        """At most `size` bytes of the process's memory; OSError as the kernel's."""
        pieces, have = [], 0
        while have < size:
            piece = self._ask(Memory(offset + have, min(size - have, _READ_BYTES))).content
            pieces.append(piece)
            have += len(piece)
            if not piece:
                break
        return b"".join(pieces)

    def mapped(
        self, start: int, end: int, path: bytes, device: str, inode: int
    ) -> MappedFile | None:
        """The file of the mapping that begins at `start`."""
        del end, path, device, inode
        return self._first(Mapped(start))

    def debug_file(self, build_id: str) -> MappedFile | None:
        """The debug file of a build id."""
        return self._first(DebugFile(build_id))

    def debug_links(self, path: bytes, name: bytes) -> Iterable[MappedFile]:
        """The files of that name where a debug file may be."""
        return self._ask(DebugLinks(path, name)).files

    def perf_map(self) -> MappedFile | None:
        """The list of a JIT compiler."""
        return self._first(PerfMap())

    def _first(self, question: Question) -> MappedFile | None:
        files = self._ask(question).files
        return files[0] if files else None

    def clock(self) -> float:
        """The monotonic clock."""
        return time.monotonic()

    def close(self) -> None:
        """Close all files."""
        while self._files:
            self._files.pop().close()


class _Maps:
    """A `Reading` in which there are `maps` and memory, and nothing else."""

    def __init__(self, maps: bytes, memory: Callable[[int, int], bytes]) -> None:
        self._maps = maps
        self._memory = memory

    def read(self, path: str) -> bytes:
        """The maps."""
        del path
        return self._maps

    def part(self, path: str, offset: int, size: int) -> bytes:
        """Memory."""
        del path
        return self._memory(offset, size)

    def lines(self, path: str) -> Iterator[bytes]:
        """Nothing."""
        raise FileNotFoundError(2, "No such file or directory", path)

    def link(self, path: str) -> str:
        """Nothing."""
        raise FileNotFoundError(2, "No such file or directory", path)

    def size(self, path: str) -> int:
        """Nothing."""
        raise FileNotFoundError(2, "No such file or directory", path)

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """Nothing."""
        del mount
        raise FileNotFoundError(2, "No such file or directory", path)

    def names(self, path: str) -> list[str]:
        """Nothing."""
        raise FileNotFoundError(2, "No such file or directory", path)
