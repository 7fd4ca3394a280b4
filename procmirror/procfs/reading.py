"""The sources of a view, read with the rights of the identity that this thread acts as.

Each source has a limit of size.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

from procmirror.decoding.proc_files import status_value
from procmirror.decoding.view import MOST_IN_WALK, Each, FileStatus
from procmirror.identity.errors import error
from procmirror.procfs import unix_peers
from procmirror.procfs.bounded_walk import BoundedWalk, Hung, go_on
from procmirror.procfs.contents import CHUNK, LIMIT, content
from procmirror.procfs.peer import ITSELF, PeerReader, Question
from procmirror.procfs.proc import names, open_file
from procmirror.procfs.read_note import LINKS, Reads, is_link_of_object

# What of a process a view of all processes does without when it would have to wait for it.
_MAY_WAIT = frozenset(("cmdline", "environ", "io", "maps", "mem", "smaps_rollup", "syscall"))
# Files of a process for which the kernel takes spin locks alone, but in the moment in which the
# process is killed.
_NEVER_WAITS = frozenset(("comm", "status", "statm"))
# The number of files that stay open for `part`.
_PARTS = 16
_UNWATCHED = Reads()
# What no path begins with: none has a null byte.
_NO_PATH = "\0"
# By device and inode of a procfs, or of a captured one.
_HUNG: dict[tuple[int, int], Hung] = {}


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _nothing() -> None:
    """Report no progress: a short step needs none."""


def _hung_in(directory: int) -> Hung:
    """The threads of this process that hang in walks over the processes of a procfs."""
    found = os.fstat(directory)
    key = found.st_dev, found.st_ino
    if key not in _HUNG:
        for other in [other for other, hung in _HUNG.items() if not hung.count()]:
            del _HUNG[other]
    return _HUNG.setdefault(key, Hung())


def path_from_root(directory: int, path: bytes) -> bytes:
    """The path of a process or thread from the root of its procfs; OSError if it is gone.

    `directory` is that of the process; `path` leads from there to the thread, or is empty.
    """
    status = content(directory, b"%s/status" % path if path else b"status", _nothing)
    pid, tid = (status_value(status, key) for key in (b"Tgid", b"Pid"))
    return b"%s/task/%s" % (pid, tid) if path else pid


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


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
        self._peer = peer or ITSELF
        # No path has a null byte.
        self._server = self._peer.number or b"\0"
        self._below_server = self._server + b"/"
        # The questions about this process that will come, and the answers that are there already.
        self._expected: list[Question] = []
        self._answers: dict[Question, Any] = {}
        self._progress = progress
        self._parts: dict[str, int] = {}
        self._walk: BoundedWalk | None = None
        self._is_walking = False
        # In a walk, what the paths of a process begin with of which nothing is to be looked at but
        # the files themselves: it is another one, and nothing hung there.
        self._ordinary = _NO_PATH
        self._note, self._left_out = reads

    def _begin(self, path: str) -> None:
        """Note that a read begins that may have to wait; OSError(ETIMEDOUT) if it is left out."""
        self._refuse_left_out(path)
        self._note.begin(path)

    def _refuse_left_out(self, path: str) -> None:
        left_out = self._left_out
        if left_out and (
            path in left_out
            or _name(path) in left_out
            or (LINKS in left_out and is_link_of_object(path))
        ):
            raise error(errno.ETIMEDOUT)

    def _path(self, path: str) -> bytes:
        raw = _raw(path)
        if raw[:4] == b"self" and raw[4:5] in {b"", b"/"}:
            if self._myself is None:
                raise error(errno.ENOENT)
            raw = self._myself + raw[4:]
        return self._prefix + raw if self._prefix else raw

    def _is_server(self, raw: bytes) -> bool:
        return raw.startswith(self._below_server) or raw == self._server

    def _answer_of_peer(self, verb: str, raw: bytes) -> Any:
        """The peer's answer about this process; the first question asks all that a walk needs."""
        question = verb, raw
        said = self._answers.pop(question, None)
        if said is None:
            questions, self._expected = (
                (self._expected, []) if question in self._expected else ([question], self._expected)
            )
            # An abandoned thread may do the same at the same time.
            told = dict(zip(questions, self._peer.ask(questions), strict=True))
            said = told.pop(question)
            self._answers = told
        if isinstance(said, int):
            raise error(said)
        return said

    def read(self, path: str) -> bytes:
        """The whole content; OSError(EFBIG) beyond the limit.

        In a walk, of a longer file than MOST_IN_WALK more than so many bytes.
        """
        if path.startswith(self._ordinary):
            return self._read_in_walk(_raw(path))
        raw = self._path(path)
        if self._is_server(raw):
            return bytes(self._answer_of_peer("content", raw))
        if self._is_walking:
            # The walk itself limits the time.
            self._refuse_in_walk(path)
            return self._read_in_walk(raw)
        self._refuse_stuck(path)
        self._begin(path)
        try:
            return content(self._directory, raw, self._progress)
        finally:
            self._note.end()

    def _read_in_walk(self, raw: bytes) -> bytes:
        enough = MOST_IN_WALK.get(raw.rpartition(b"/")[2], 0)
        return content(self._directory, raw, self._progress, enough)

    def _refuse_in_walk(self, path: str) -> None:
        if self._left_out:
            self._refuse_left_out(path)
        if self._walk and self._walk.refused:
            self._refuse_stuck(path)

    def _refuse_stuck(self, path: str) -> None:
        """Raise EBUSY for a file that may wait, of a process for which this walk already waited.

        If it waited twice, for any entry of the process but those that never wait.
        """
        if self._walk and self._walk.refused:
            pid, _, name = path.partition("/")
            if pid in self._walk.unread:
                waits = name not in _NEVER_WAITS
            else:
                waits = pid in self._walk.refused and _name(name) in _MAY_WAIT
            if waits:
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
        self._refuse_stuck(path)
        descriptor = open_file(self._directory, self._path(path))
        try:
            rest = b""
            while piece := self._next(path, descriptor):
                self._progress()
                *whole, rest = (rest + piece).split(b"\n")
                if len(rest) > LIMIT:
                    raise error(errno.EFBIG)
                yield from whole
            if rest:
                yield rest
        finally:
            os.close(descriptor)

    def _next(self, path: str, descriptor: int) -> bytes:
        self._begin(path)
        try:
            return os.read(descriptor, CHUNK)
        finally:
            self._note.end()

    def link(self, path: str) -> str:
        """The text of a link."""
        if path.startswith(self._ordinary):
            text = os.readlink(_raw(path), dir_fd=self._directory)
            return text.decode("utf-8", "backslashreplace")
        raw = self._path(path)
        if self._is_server(raw):
            text = bytes(self._answer_of_peer("link", raw))
        elif self._is_walking:
            self._refuse_in_walk(path)
            text = os.readlink(raw, dir_fd=self._directory)
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
            found = self._answer_of_peer("names", raw)
        else:
            self._refuse_stuck(path)
            self._begin(path)
            try:
                found = names(self._directory, raw)
            finally:
                self._note.end()
        self._progress()
        return os.fsdecode(b"\0".join(found)).split("\0") if found else []

    def size(self, path: str) -> int:
        """The size of an entry; EACCES for this process, about which another is asked."""
        raw = _raw(path) if path.startswith(self._ordinary) else self._raw_of_another(path)
        return os.stat(raw, dir_fd=self._directory, follow_symlinks=False).st_size

    def _raw_of_another(self, path: str) -> bytes:
        raw = self._path(path)
        if self._is_server(raw):
            raise error(errno.EACCES)
        self._refuse_stuck(path)
        return raw

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """Nothing: views of all processes look at no open file."""
        del path, mount
        raise error(errno.ENOTSUP)

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        """Nothing: views of all processes look at no mapped file."""
        del addresses, path, device, inode
        raise error(errno.ENOTSUP)

    def unix_peers(self) -> dict[int, int]:
        """The peers of UNIX stream sockets, as the kernel tells this thread."""
        return unix_peers.unix_peers()

    def each(self, wanted: Each) -> Iterator[Any]:
        """Walk over processes so that none delays the others; this thread reads nothing."""
        self._walk = BoundedWalk(self._peer.acting, _hung_in(self._directory))
        below = [("content", name) for name in wanted.files] + [
            ("link", name) for name in wanted.links
        ]
        self._expected = [
            (verb, b"%s/%s" % (self._peer.number, name.encode())) for verb, name in below
        ]
        progress, note, make = self._progress, self._note, wanted.make
        refused, has_others = self._walk.refused, bool(self._left_out or self._prefix)

        def made_of(name: str) -> Any:
            progress()
            is_ordinary = name not in refused and not self._is_server(self._path(name))
            self._ordinary = f"{name}/" if is_ordinary and not has_others else _NO_PATH
            return make(name)

        # Progress is reported for each process, not for each of its files.
        self._progress = go_on
        # The walk itself sees to it that no read holds it up.
        self._note = _UNWATCHED.note
        self._is_walking = True
        try:
            with self._peer.resting():
                for made in self._walk.walk(wanted.names, made_of):
                    progress()
                    yield made
        finally:
            # What is read of the whole machine after it has no other limit than the note.
            self._progress, self._note = progress, note
            self._is_walking = False
            self._ordinary = _NO_PATH

    def close(self) -> None:
        """Close the files of `part`, and tell the peer about threads that still hang."""
        for descriptor in self._parts.values():
            os.close(descriptor)
        self._parts.clear()
        if self._walk and self._walk.given_up:
            self._peer.abandon(self._walk.given_up)
