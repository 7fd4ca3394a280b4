"""A worker's side of the parsers: what the kernel judges stays here, what is computed is asked for.

A parser is used for one requester and the processes of one owner only. An attacker that runs code
in one, by what such a process contains, finds nothing of others, and can give false answers
about that owner's processes alone.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress

import msgspec

from procmirror.stack.process import Process
from procmirror.stack.user_side import Job, UserSide, innermost
from procmirror.workers.parser_answers import FILES_OF_ONE, Answers
from procmirror.workers.parser_connection import ENDED, TIMED_OUT, Connection, ParserLost
from procmirror.workers.parsing import (
    MOST_FILES,
    Done,
    End,
    Memory,
    Question,
    Work,
    decode_question,
)

MOST_PARSERS = 3
# A parser has so long beyond the time that a job has.
_GRACE_SECONDS = 0.5
# Of how many threads is kept what they ask for, and how much: as many files as a message carries,
# and so many bytes of memory, where each question counts for so many at least, of any size.
_MOST_ASKED_BEFORE, _MOST_OF_FILES, _MOST_OF_MEMORY = 64, MOST_FILES // FILES_OF_ONE, 1 << 18
_LEAST_OF_MEMORY = 1 << 10


class Parsers:
    """The parsers of one worker, the least recently used first.

    `spawn_requests` leads to their server.
    """

    def __init__(self, spawn_requests: socket.socket) -> None:
        self._spawn_requests = spawn_requests
        self._known: dict[Hashable, Connection] = {}
        self._asked_before: dict[tuple[int, int], list[Question]] = {}

    def of(self, requester: Hashable) -> Callable[[Process], RemoteParser]:
        """What makes the parser of a process for a requester."""
        return lambda process: RemoteParser(self, requester, process)

    def connection(self, key: Hashable) -> Connection:
        """The parser of a requester and an owner, a new one if there is none.

        ParserLost where none can be had.
        """
        found = self._known.pop(key, None)
        if found is None:
            while len(self._known) >= MOST_PARSERS:
                self._known.pop(next(iter(self._known))).close()
            found = Connection(self._spawn_requests)
        self._known[key] = found
        return found

    def usual(self, maps: int, tid: int) -> Sequence[Question]:
        """What was asked for the last time for a thread of a process, told by its maps."""
        found = self._asked_before.pop((maps, tid), [])
        self._asked_before[maps, tid] = found
        if len(self._asked_before) > _MOST_ASKED_BEFORE:
            self._asked_before.pop(next(iter(self._asked_before)))
        return found

    def note(self, maps: int, tid: int, question: Question) -> None:
        """Answer a question beforehand the next time."""
        asked = self._asked_before.get((maps, tid))
        if asked is not None and _has_room(asked, question) and question not in asked:
            asked.append(question)

    def close(self) -> None:
        """End all parsers."""
        for key in list(self._known):
            self.discard(key)

    def discard(self, key: Hashable) -> None:
        """End a parser that is not to be used again."""
        if found := self._known.pop(key, None):
            found.close()


def _has_room(asked: Sequence[Question], question: Question) -> bool:
    """Whether the answer to one more question has room in the message with these."""
    if not isinstance(question, Memory):
        return sum(not isinstance(one, Memory) for one in asked) < _MOST_OF_FILES
    memory = [*(one for one in asked if isinstance(one, Memory)), question]
    return sum(max(one.size, _LEAST_OF_MEMORY) for one in memory) <= _MOST_OF_MEMORY


class RemoteParser:
    """The `Parser` of one process for one request."""

    def __init__(self, parsers: Parsers, requester: Hashable, process: Process) -> None:
        self._parsers = parsers
        self._requester = requester
        self._process = process
        self._answers = Answers(process)
        self._begun: set[Hashable] = set()
        self._lost: str | None = None
        self._maps = hash(process.maps.raw)

    def user_side(self, job: Job) -> UserSide:
        """The frames; only the innermost one, with the reason, where the parser is lost."""
        if self._lost is None:
            try:
                return self._found(job)
            except ParserLost as lost:
                self._lost = str(lost)
        return innermost(self._process, job.where, self._lost)

    def close(self) -> None:
        """Have the parsers close the files of this process; they have done it then."""
        for key in list(self._begun):
            with suppress(ParserLost):
                self._exchange(key, End())
        self._begun.clear()

    def _found(self, job: Job) -> UserSide:
        key = self._requester, job.owner
        first = key not in self._begun
        if first:
            self._begun.add(key)
        usual = self._parsers.usual(self._maps, job.tid)
        told = [(question, *self._answers.to(question)) for question in usual]
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
            raise ParserLost("not enough memory to parse the program: frames are missing")
        return done.found

    def _exchange(
        self, key: Hashable, order: Work | End, files: Sequence[int] = (), job: Job | None = None
    ) -> Done:
        """Send an order and answer all questions until it is done."""
        seconds = (job.seconds if job else 0.0) + _GRACE_SECONDS
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
                if job:
                    self._parsers.note(self._maps, job.tid, question)
                channel.send(*self._answers.to(question))
        except (OSError, msgspec.MsgspecError) as lost:
            raise self._ended(key, lost) from lost

    def _ended(self, key: Hashable, why: Exception) -> ParserLost:
        self._parsers.discard(key)
        self._begun.discard(key)
        late = isinstance(why, BlockingIOError | TimeoutError)
        return ParserLost(TIMED_OUT if late else ENDED)
