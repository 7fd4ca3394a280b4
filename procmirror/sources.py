"""The sources of a view, read in the name of whoever this thread acts as, each with a limit."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from procmirror.patience import Patience
from procmirror.proc import names, open_file
from procmirror.view import Each

# Most files are shorter than the first, and as much as the second costs more to ask for than to read.
_FIRST, _CHUNK = 1 << 13, 1 << 17
# How much of one source a view may take into memory; an unprivileged process can make its environment a terabyte long.
_LIMITS = {b"environ": 8 << 20, b"cmdline": 8 << 20}
_LIMIT = 64 << 20


# What of a process a view of all processes does without when it would have to wait for it.
_MAY_WAIT = frozenset(("cmdline", "environ", "io", "smaps_rollup"))


def content(directory: int, path: bytes, progress: Callable[[], None]) -> bytes:
    """The whole of a file; OSError(EFBIG) beyond the limit, `progress` after each piece."""
    try:
        descriptor = open_file(directory, path)
    except OSError as refused:
        if refused.errno != errno.ELOOP:
            raise
        descriptor = open_file(directory, _in_sys(directory, path))
    try:
        return _whole(descriptor, _LIMITS.get(path.rpartition(b"/")[2], _LIMIT), progress)
    finally:
        os.close(descriptor)
        progress()


def _in_sys(directory: int, path: bytes) -> bytes:
    """Where a link of procfs itself leads that moved to /sys (fs/xfs/stat); OSError(ELOOP) for any other."""
    text = os.readlink(path, dir_fd=directory)
    if not text.startswith(b"/sys/fs/"):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return text


def _whole(descriptor: int, limit: int, progress: Callable[[], None]) -> bytes:
    first = os.read(descriptor, _FIRST)
    piece = first and os.read(descriptor, _CHUNK)
    if not piece:
        return first
    pieces, have = [first], len(first)
    while piece:
        pieces.append(piece)
        have += len(piece)
        if have > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        progress()
        piece = os.read(descriptor, _CHUNK)
    return b"".join(pieces)


class Stranger(NamedTuple):
    """Whoever answers questions about this process, as the kernel never asks whether a process may look at itself.

    `number` is that of this process in the procfs; `ask(verb, path)` gives the content, link or names at a path below its root.
    """

    number: bytes
    ask: Callable[[str, bytes], Any]


def _nobody(verb: str, path: bytes) -> Any:
    raise OSError(errno.EIO, os.strerror(errno.EIO), verb, path)


class Sources:
    """A `Reading` below a directory descriptor, for the length of one snapshot.

    `myself` is the requester's number there, for paths that begin with `self`; `stranger` is asked about this process, of
    which the kernel would tell it more than the requester; `progress` is called after each answer, so that a long view is not
    taken for a stuck one.
    """

    def __init__(
        self, directory: int, prefix: bytes, myself: bytes | None, stranger: Stranger | None, progress: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._prefix = prefix + b"/" if prefix else b""
        self._myself = myself
        self._server, self._ask = stranger or Stranger(b"", _nobody)
        self._progress = progress
        self._parts: dict[str, int] = {}
        self.patience: Patience | None = None

    def _path(self, path: str) -> bytes:
        raw = path.encode("utf-8", "surrogateescape")
        if raw.startswith(b"self") and raw[4:5] in {b"", b"/"}:
            if self._myself is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            raw = self._myself + raw[4:]
        return self._prefix + raw

    def _is_server(self, raw: bytes) -> bool:
        return bool(self._server) and raw.split(b"/", 1)[0] == self._server

    def read(self, path: str) -> bytes:
        """The whole content; OSError(EFBIG) beyond the limit."""
        raw = self._path(path)
        if self._is_server(raw):
            return bytes(self._ask("content", raw))
        if self.patience and path.rpartition("/")[2] in _MAY_WAIT and path.partition("/")[0] in self.patience.refused:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return content(self._directory, raw, self._progress)

    def part(self, path: str, offset: int, size: int) -> bytes:
        """A piece of a file that stays open for the next piece."""
        if self._is_server(self._path(path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        descriptor = self._parts.get(path, -1)
        if descriptor < 0:
            descriptor = self._parts[path] = open_file(self._directory, self._path(path))
        if not 0 <= offset < 1 << 63:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        content = os.pread(descriptor, size, offset)
        self._progress()
        return content

    def lines(self, path: str) -> Iterator[bytes]:
        """Line by line, in bounded memory."""
        if self._is_server(self._path(path)):
            yield from self.read(path).removesuffix(b"\n").split(b"\n")
            return
        descriptor = open_file(self._directory, self._path(path))
        try:
            rest = b""
            while piece := os.read(descriptor, _CHUNK):
                self._progress()
                *whole, rest = (rest + piece).split(b"\n")
                if len(rest) > _LIMIT:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                yield from whole
            if rest:
                yield rest
        finally:
            os.close(descriptor)

    def link(self, path: str) -> str:
        """The text of a link."""
        raw = self._path(path)
        text = bytes(self._ask("link", raw)) if self._is_server(raw) else os.readlink(raw, dir_fd=self._directory)
        self._progress()
        return text.decode("utf-8", "backslashreplace")

    def names(self, path: str) -> list[str]:
        """The names in a directory, bytes that are not UTF-8 as os.fsdecode has them."""
        raw = self._prefix + b"." if path == "." else self._path(path)
        found = self._ask("names", raw) if self._is_server(raw) else names(self._directory, raw)
        self._progress()
        return [os.fsdecode(name) for name in found]

    def each(self, wanted: Each) -> Iterator[Any]:
        """Carry out a walk over processes in which none of them holds up the others."""
        self.patience = Patience()
        for made in self.patience.walk(wanted.names, wanted.make):
            self._progress()
            yield made

    def close(self) -> None:
        """Give back what `part` kept open."""
        for descriptor in self._parts.values():
            os.close(descriptor)
        self._parts.clear()
