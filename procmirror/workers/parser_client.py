"""A worker's side of the parsers: what the kernel judges stays here, what is computed is asked for.

A parser is used for one requester and the processes of one owner only. Whoever gets hold of it by
what such a process contains finds nothing of others in it, and can give false answers about that
owner's processes alone.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from procmirror.procfs.mapped import OpenFile
from procmirror.stack.elf import BROKEN
from procmirror.stack.process import Process
from procmirror.stack.target import MappedFile
from procmirror.stack.user_side import Job, UserSide, innermost
from procmirror.workers.parsing import (
    MOST_FILES,
    Answer,
    Channel,
    DebugFile,
    DebugLinks,
    Done,
    End,
    Mapped,
    Memory,
    PerfMap,
    Question,
    Work,
    decode_question,
)

MOST_PARSERS = 3
# A parser has so long for its birth, and beyond the time that a job has.
_BIRTH_SECONDS, _GRACE_SECONDS = 2.0, 0.5
_MOST_READ = 1 << 16
_FILES_OF_ONE = 3
# Of how many threads is kept what they ask for, and how much: as many files as a message carries.
_MOST_USUAL, _MOST_ASKED = 64, MOST_FILES // _FILES_OF_ONE
_HEXADECIMAL = frozenset("0123456789abcdef")

ENDED = "the process that parses programs ended: frames are missing"
LATE = "the process that parses programs took too long: frames are missing"
NONE = "no process that parses programs: frames are missing"


class Lost(Exception):
    """A parser gives no answer; the text is the reason."""


class Connection:
    """A parser as a worker holds it."""

    def __init__(self, births: socket.socket) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = Channel(ours)
        self.pidfd = -1
        try:
            socket.send_fds(births, [b"\0"], [theirs.fileno()])
        except OSError as refused:
            self.channel.close()
            raise Lost(NONE) from refused
        finally:
            theirs.close()
        self.channel.limit(_BIRTH_SECONDS)
        try:
            _, watches = self.channel.birth()
        except OSError as late:
            self.close()
            raise Lost(NONE) from late
        if not watches:
            self.close()
            raise Lost(NONE)
        self.pidfd = watches[0]

    def close(self) -> None:
        """End the parser, also one that computes for ever."""
        self.channel.close()
        if self.pidfd >= 0:
            # It ended by itself if that fails; the filter keeps it from being another's.
            with suppress(OSError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.close(self.pidfd)
            self.pidfd = -1


class Parsers:
    """The parsers of one worker, the least recently used first; `births` leads to their server."""

    def __init__(self, births: socket.socket) -> None:
        self._births = births
        self._known: dict[Hashable, Connection] = {}
        self._usual: dict[tuple[int, int], list[Question]] = {}

    def of(self, requester: Hashable) -> Callable[[Process], RemoteParser]:
        """What makes the parser of a process for a requester."""
        return lambda process: RemoteParser(self, requester, process)

    def connection(self, key: Hashable) -> Connection:
        """The parser of a requester and an owner, a new one if there is none; Lost without."""
        found = self._known.pop(key, None)
        if found is None:
            while len(self._known) >= MOST_PARSERS:
                self._known.pop(next(iter(self._known))).close()
            found = Connection(self._births)
        self._known[key] = found
        return found

    def usual(self, maps: int, tid: int) -> Sequence[Question]:
        """What was asked for the last time for a thread of a process, told by its maps."""
        found = self._usual.pop((maps, tid), [])
        self._usual[maps, tid] = found
        if len(self._usual) > _MOST_USUAL:
            self._usual.pop(next(iter(self._usual)))
        return found

    def note(self, maps: int, tid: int, question: Question) -> None:
        """Answer a question beforehand the next time."""
        asked = self._usual.get((maps, tid))
        if asked is not None and len(asked) < _MOST_ASKED and question not in asked:
            asked.append(question)

    def close(self) -> None:
        """End all parsers."""
        for key in list(self._known):
            self.discard(key)

    def discard(self, key: Hashable) -> None:
        """End a parser that is not to be used again."""
        if found := self._known.pop(key, None):
            found.close()


class RemoteParser:
    """The `Parser` of one process for one request."""

    def __init__(self, parsers: Parsers, requester: Hashable, process: Process) -> None:
        self._parsers = parsers
        self._requester = requester
        self._process = process
        self._begun: set[Hashable] = set()
        self._lost: str | None = None
        self._maps = hash(process.maps.raw)

    def user_side(self, job: Job) -> UserSide:
        """The frames; only the innermost one, with the reason, where the parser is lost."""
        if self._lost is None:
            try:
                return self._found(job)
            except Lost as lost:
                self._lost = str(lost)
        return innermost(self._process, job.where, self._lost)

    def close(self) -> None:
        """Have the parsers close the files of this process; they have done it then."""
        for key in list(self._begun):
            with suppress(Lost):
                self._exchange(key, End())
        self._begun.clear()

    def _found(self, job: Job) -> UserSide:
        key = self._requester, job.owner
        first = key not in self._begun
        if first:
            self._begun.add(key)
        usual = self._parsers.usual(self._maps, job.tid)
        told = [(question, *self._answer(question)) for question in usual]
        work = Work(
            job,
            self._process.maps.raw if first else None,
            [(question, answer) for question, answer, _ in told],
        )
        files = [file for _, _, files in told for file in files]
        done = self._exchange(key, work, files, job)
        if job.last:
            self._begun.discard(key)
        if done.retire:
            self._parsers.discard(key)
            self._begun.discard(key)
        if done.found is None:
            raise Lost("not enough memory to parse the program: frames are missing")
        return done.found

    def _exchange(
        self, key: Hashable, order: Work | End, files: Sequence[int] = (), job: Job | None = None
    ) -> Done:
        """Send an order and answer all questions until it is done."""
        seconds = (job.seconds if job else 0.0) + _GRACE_SECONDS
        ends = time.monotonic() + seconds
        try:
            channel = self._parsers.connection(key).channel
            channel.limit(seconds)
            channel.send(order, files)
            while True:
                message, _ = channel.receive()
                if not message:
                    raise ConnectionResetError(errno.ECONNRESET, "it ended")
                question = decode_question(message)
                if isinstance(question, Done):
                    return question
                if time.monotonic() > ends:
                    raise TimeoutError(errno.ETIMEDOUT, "it asks on")
                if job:
                    self._parsers.note(self._maps, job.tid, question)
                channel.send(*self._answer(question))
        except (OSError, msgspec.MsgspecError) as lost:
            raise self._ended(key, lost) from lost

    def _ended(self, key: Hashable, why: Exception) -> Lost:
        self._parsers.discard(key)
        self._begun.discard(key)
        late = isinstance(why, BlockingIOError | TimeoutError)
        return Lost(LATE if late else ENDED)

    def _answer(self, question: Question) -> tuple[Answer, list[int]]:
        """The answer to a question, with the descriptors of the files in it."""
        files: list[MappedFile] = []
        content, refused = b"", 0
        try:
            if isinstance(question, Memory):
                content = self._process.memory(question.address, min(question.size, _MOST_READ))
            else:
                files = self._files(question)[:_FILES_OF_ONE]
        except OSError as error:
            refused = error.errno or errno.EIO
        except BROKEN:
            refused = errno.EINVAL
        opened = [file for file in files if isinstance(file, OpenFile)]
        told = [(file.identity, file.size) for file in opened]
        return Answer(content, refused, told), [file.descriptor for file in opened]

    def _files(self, question: Any) -> list[MappedFile]:
        """The files that a question may be answered with: those that belong to the process."""
        process, target = self._process, self._process.target
        if isinstance(question, Mapped):
            mapping = process.maps.holding(question.start)
            if mapping is None or not mapping.executable or not mapping.inode:
                return []
            found = target.mapped(
                mapping.start, mapping.end, mapping.path, mapping.device, mapping.inode
            )
        elif isinstance(question, DebugFile):
            number = question.build_id
            usual = 2 < len(number) <= 128 and _HEXADECIMAL.issuperset(number)
            found = target.debug_file(number) if usual else None
        elif isinstance(question, DebugLinks):
            plain = question.name not in {b"", b".", b".."} and b"/" not in question.name
            if not plain or b"\0" in question.name or not process.maps.has_file(question.path):
                return []
            return list(target.debug_links(question.path, question.name))
        else:
            assert isinstance(question, PerfMap)
            found = target.perf_map()
        return [found] if found else []
