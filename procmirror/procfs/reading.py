"""The sources of a view, read with the rights of the identity that this thread acts as.

Each source has a limit of size.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from procmirror.decoding.view import MOST_OF_EACH, Each, FileStatus
from procmirror.identity.errors import error
from procmirror.procfs.bounded_walk import BoundedWalk
from procmirror.procfs.proc import names, open_file
from procmirror.procfs.read_note import Reads

# Sizes of reads in bytes. Most files are shorter than the first; reading as much as the second
# takes as long as a system call.
_FIRST, _CHUNK = 1 << 13, 1 << 17
# The limits of one source in bytes; an unprivileged process can make its environment a terabyte
# long.
_LIMITS = {b"environ": 8 << 20, b"cmdline": 8 << 20}
_LIMIT = 64 << 20


# Files that the kernel produces in one piece (single_open, fs/proc/base.c): a short read is the
# whole file.
_ONE_PIECE = frozenset(
    (b"cgroup", b"io", b"limits", b"oom_score", b"stat", b"statm", b"status", b"wchan")
)
# Files of a process that a view of all processes leaves out if it would have to wait for them.
_MAY_WAIT = frozenset(("cmdline", "environ", "io", "maps", "mem", "smaps_rollup", "syscall"))
# The number of files that stay open for `part`.
_PARTS = 16
_UNWATCHED = Reads()


def content(directory: int, path: bytes, progress: Callable[[], None], enough: int = 0) -> bytes:
    """The whole of a file; OSError(EFBIG) beyond the limit, `progress` after each piece.

    If it is longer than `enough`, and that is not 0, not all of it but more than so many bytes.
    """
    try:
        descriptor = open_file(directory, path)
    except OSError as refused:
        if refused.errno != errno.ELOOP:
            raise
        descriptor = open_file(directory, _in_sys(directory, path))
    try:
        name = path.rpartition(b"/")[2]
        first = os.read(descriptor, _FIRST)
        if not first or (len(first) < _FIRST and name in _ONE_PIECE):
            return first
        return _rest(descriptor, first, _LIMITS.get(name, _LIMIT), progress, enough)
    finally:
        os.close(descriptor)
        progress()


def _in_sys(directory: int, path: bytes) -> bytes:
    """The target of a link of procfs itself to a file that moved to /sys (fs/xfs/stat).

    OSError(ELOOP) for any other link.
    """
    text = os.readlink(path, dir_fd=directory)
    if not text.startswith(b"/sys/fs/"):
        raise error(errno.ELOOP)
    return text


def _rest(
    descriptor: int, first: bytes, limit: int, progress: Callable[[], None], enough: int
) -> bytes:
    pieces, have = [first], len(first)
    while (not enough or have <= enough) and (piece := os.read(descriptor, _CHUNK)):
        pieces.append(piece)
        have += len(piece)
        if have > limit:
            raise error(errno.EFBIG)
        progress()
    return b"".join(pieces)


# A verb, "content", "link" or "names", and a path below the root of the procfs.
Question = tuple[str, bytes]


def answer(directory: int, question: Question, progress: Callable[[], None]) -> Any:
    """The kernel's answer to a question: a content, a text, names, or an errno."""
    verb, path = question
    try:
        if verb == "content":
            return content(directory, path, progress)
        return os.readlink(path, dir_fd=directory) if verb == "link" else names(directory, path)
    except OSError as refused:
        return refused.errno or errno.EIO


def _count_none(_: int) -> None:
    """The `abandon` of a reader whose walks cannot hang."""


class PeerReader(NamedTuple):
    """Another process that reads /proc/PID of this one in its place.

    The kernel checks no right of a process that looks at itself, so this process would learn more
    than the requester may know. `number` is the number of this process in the procfs;
    `ask(questions)` returns the other process's `answer` to each.

    The kernel shows a process with the identity of its first thread, which must not be the
    requester's while another process looks. So the first thread has its own identity during
    `resting()`, and other threads act as the requester during `acting()`. `abandon(count)` gets the
    number of threads of a walk that still hang when it is over.
    """

    number: bytes
    ask: Callable[[Sequence[Question]], Sequence[Any]]
    acting: Callable[[], AbstractContextManager[None]] = nullcontext
    resting: Callable[[], AbstractContextManager[None]] = nullcontext
    abandon: Callable[[int], None] = _count_none


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _nothing() -> None:
    """Report no progress: a short step needs none."""


def _nobody(questions: Sequence[Question]) -> Sequence[Any]:
    return [errno.EIO] * len(questions)


class Sources:
    """A `Reading` below a directory descriptor, for one snapshot.

    `myself` is the requester's number there, for paths that begin with `self`. `peer` reads what is
    about this process. `progress` is called after each answer, so that a long view does not seem
    stuck.
    """

    def __init__(
        self,
        directory: int,
        prefix: bytes,
        myself: bytes | None,
        peer: PeerReader | None,
        progress: Callable[[], None],
        reads: Reads = _UNWATCHED,
    ) -> None:
        self._directory = directory
        self._prefix = prefix + b"/" if prefix else b""
        self._myself = myself
        self._peer = peer or PeerReader(b"", _nobody)
        # The questions about this process that will come, and the answers that are there already.
        self._usual: list[Question] = []
        self._told: dict[Question, Any] = {}
        self._progress = progress
        self._parts: dict[str, int] = {}
        self._walk: BoundedWalk | None = None
        self._note, self._left_out = reads

    def _begin(self, path: str) -> None:
        """Note that a read begins that may have to wait; OSError(ETIMEDOUT) if it is left out."""
        if self._left_out and (path in self._left_out or _name(path) in self._left_out):
            raise error(errno.ETIMEDOUT)
        self._note.begin(path)

    def _path(self, path: str) -> bytes:
        raw = path.encode("utf-8", "surrogateescape")
        if raw.startswith(b"self") and raw[4:5] in {b"", b"/"}:
            if self._myself is None:
                raise error(errno.ENOENT)
            raw = self._myself + raw[4:]
        return self._prefix + raw

    def _is_server(self, raw: bytes) -> bool:
        server = self._peer.number
        return (
            bool(server)
            and raw.startswith(server)
            and raw[len(server) : len(server) + 1] in {b"", b"/"}
        )

    def _asked(self, verb: str, raw: bytes) -> Any:
        """The peer's answer about this process; the first question asks all that a walk needs."""
        question = verb, raw
        said = self._told.pop(question, None)
        if said is None:
            questions, self._usual = (
                (self._usual, []) if question in self._usual else ([question], self._usual)
            )
            # An abandoned thread may do the same at the same time.
            told = dict(zip(questions, self._peer.ask(questions), strict=True))
            said = told.pop(question)
            self._told = told
        if isinstance(said, int):
            raise error(said)
        return said

    def read(self, path: str) -> bytes:
        """The whole content; OSError(EFBIG) beyond the limit.

        In a walk, of arguments that are longer than MOST_OF_EACH more than so many bytes.
        """
        raw = self._path(path)
        if self._is_server(raw):
            return bytes(self._asked("content", raw))
        self._refuse_stuck(path)
        self._begin(path)
        try:
            enough = MOST_OF_EACH if self._walk and _name(path) == "cmdline" else 0
            return content(self._directory, raw, self._progress, enough)
        finally:
            self._note.end()

    def _refuse_stuck(self, path: str) -> None:
        """Raise EBUSY for a file that may wait, of a process for which this walk already waited."""
        if self._walk and self._walk.refused:
            pid, _, name = path.partition("/")
            if _name(name) in _MAY_WAIT and pid in self._walk.refused:
                raise error(errno.EBUSY)

    def part(self, path: str, offset: int, size: int) -> bytes:
        """A piece of a file that stays open for the next piece."""
        if self._is_server(self._path(path)):
            raise error(errno.EACCES)
        self._refuse_stuck(path)
        if not 0 <= offset < 1 << 63:
            raise error(errno.EIO)
        self._begin(path)
        try:
            piece = os.pread(self._kept_open(path), size, offset)
        finally:
            self._note.end()
        self._progress()
        return piece

    def _kept_open(self, path: str) -> int:
        descriptor = self._parts.get(path, -1)
        if descriptor < 0:
            descriptor = self._parts[path] = open_file(self._directory, self._path(path))
            if len(self._parts) > _PARTS:
                os.close(self._parts.pop(next(iter(self._parts))))
        return descriptor

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a file, in bounded memory."""
        if self._is_server(self._path(path)):
            yield from self.read(path).removesuffix(b"\n").split(b"\n")
            return
        descriptor = open_file(self._directory, self._path(path))
        try:
            rest = b""
            while piece := self._next(path, descriptor):
                self._progress()
                *whole, rest = (rest + piece).split(b"\n")
                if len(rest) > _LIMIT:
                    raise error(errno.EFBIG)
                yield from whole
            if rest:
                yield rest
        finally:
            os.close(descriptor)

    def _next(self, path: str, descriptor: int) -> bytes:
        self._begin(path)
        try:
            return os.read(descriptor, _CHUNK)
        finally:
            self._note.end()

    def link(self, path: str) -> str:
        """The text of a link."""
        raw = self._path(path)
        if self._is_server(raw):
            text = bytes(self._asked("link", raw))
        else:
            self._begin(path)
            try:
                text = os.readlink(raw, dir_fd=self._directory)
            finally:
                self._note.end()
        self._progress()
        return text.decode("utf-8", "backslashreplace")

    def names(self, path: str) -> list[str]:
        """The names in a directory, bytes that are not UTF-8 as os.fsdecode has them."""
        raw = self._prefix + b"." if path == "." else self._path(path)
        if self._is_server(raw):
            found = self._asked("names", raw)
        else:
            self._begin(path)
            try:
                found = names(self._directory, raw)
            finally:
                self._note.end()
        self._progress()
        return [os.fsdecode(name) for name in found]

    def size(self, path: str) -> int:
        """The size of an entry; EACCES for this process, about which another is asked."""
        raw = self._path(path)
        if self._is_server(raw):
            raise error(errno.EACCES)
        return os.stat(raw, dir_fd=self._directory, follow_symlinks=False).st_size

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """Nothing: views of all processes look at no open file."""
        del path, mount
        raise error(errno.ENOTSUP)

    def each(self, wanted: Each) -> Iterator[Any]:
        """Walk over processes so that none delays the others; this thread reads nothing."""
        self._walk = BoundedWalk(self._peer.acting)
        below = [("content", name) for name in wanted.files] + [
            ("link", name) for name in wanted.links
        ]
        self._usual = [
            (verb, b"%s/%s" % (self._peer.number, name.encode())) for verb, name in below
        ]
        progress, note, make = self._progress, self._note, wanted.make

        def made_of(name: str) -> Any:
            progress()
            return make(name)

        # Progress is reported for each process, not for each of its files.
        self._progress = _nothing
        # The walk itself sees to it that no read holds it up.
        self._note = _UNWATCHED.note
        try:
            with self._peer.resting():
                for made in self._walk.walk(wanted.names, made_of):
                    progress()
                    yield made
        finally:
            self._progress, self._note = progress, note

    def close(self) -> None:
        """Close the files of `part`, and tell the peer about threads that still hang."""
        for descriptor in self._parts.values():
            os.close(descriptor)
        self._parts.clear()
        if self._walk and self._walk.given_up:
            self._peer.abandon(self._walk.given_up)
