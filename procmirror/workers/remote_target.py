"""The shown process as a parser has it: another process reads everything for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from procmirror.decoding.view import FileStatus
from procmirror.identity.errors import error
from procmirror.stack.target import Bare, MappedFile
from procmirror.workers.parsing import (
    MOST_FILES,
    Answer,
    Channel,
    DebugFile,
    DebugLinks,
    Mapped,
    Memory,
    PerfMap,
    Question,
    decode_answer,
)

# The longest read of memory that one question asks for.
_READ_BYTES = 1 << 16


class PassedFile:
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


class RemoteTarget(Bare):
    """A `Target` that asks the other side of a channel for everything but the time."""

    def __init__(self, channel: Channel, maps: bytes) -> None:
        super().__init__(_Maps(maps, self.memory))
        self._channel = channel
        self._files: list[PassedFile] = []
        self._answers: dict[Question, _Received] = {}

    def learn(self, told: Sequence[tuple[Question, Answer]], descriptors: list[int]) -> None:
        """Take answers for one job, in place of those for the last one."""
        self._answers = {question: self._received(one, descriptors) for question, one in told}

    def _received(self, answer: Answer, descriptors: list[int]) -> _Received:
        """An answer with its files, whose descriptors are the next ones."""
        passed = [PassedFile(descriptors.pop(0), key, size) for key, size in answer.files]
        self._files += passed
        return _Received(answer.errno, answer.content, passed)

    def _answer_to(self, question: Question) -> _Received:
        received = self._answers.pop(question, None)
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
            piece = self._answer_to(Memory(offset + have, min(size - have, _READ_BYTES))).content
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
        return self._answer_to(DebugLinks(path, name)).files

    def perf_map(self) -> MappedFile | None:
        """The list of a JIT compiler."""
        return self._first(PerfMap())

    def _first(self, question: Question) -> MappedFile | None:
        files = self._answer_to(question).files
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
        """OSError(ENOENT): the other worker sends no lines."""
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

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        """Nothing."""
        del addresses, device, inode
        raise FileNotFoundError(2, "No such file or directory", path)

    def unix_peers(self) -> dict[int, int]:
        """Nothing."""
        raise FileNotFoundError(2, "No such file or directory")

    def names(self, path: str) -> list[str]:
        """Nothing."""
        raise FileNotFoundError(2, "No such file or directory", path)
