"""The sources of a view, read in the name of whoever this thread acts as, each with a limit."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from procmirror import linux
from procmirror.patience import Patience
from procmirror.proc import names, open_file

_CHUNK = 1 << 17
# How much of one source a view may take into memory; an unprivileged process can make its environment a terabyte long.
_LIMITS = {b"environ": 8 << 20, b"cmdline": 8 << 20}
_LIMIT = 64 << 20


def apart(action: Callable[[], Any]) -> Any:
    """The result of `action` carried out by a child that acts as this thread does; OSError as it raised it there.

    The kernel never asks whether a process may look at itself, so a question about this process must come from another.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        try:
            linux.die_with_parent()
            answer: tuple[int, Any] = (0, action())
        except OSError as refused:
            answer = (refused.errno or errno.EIO, None)
        with open(theirs, "wb") as pipe:
            pipe.write(msgspec.msgpack.encode(answer))
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        code, result = msgspec.msgpack.decode(pipe.read())
    if code:
        raise OSError(code, os.strerror(code))
    return result


# What of a process a view of all processes may have to wait for.
_MAY_WAIT = frozenset((b"cmdline", b"environ", b"io", b"smaps_rollup"))


class Sources:
    """A `Reading` below a directory descriptor, for the length of one snapshot.

    `myself` is the requester's number there, for paths that begin with `self`; `server` that of this process, about which the
    kernel would tell it more than the requester, so that another process is made to ask; `progress` is called after each
    answer, so that a long view is not taken for a stuck one.
    """

    def __init__(
        self, directory: int, prefix: bytes, myself: bytes | None, server: bytes, progress: Callable[[], None]
    ) -> None:
        self._directory = directory
        self._prefix = prefix + b"/" if prefix else b""
        self._myself = myself
        self._server = server
        self._progress = progress
        self._parts: dict[str, int] = {}
        self.patience = Patience()

    def _path(self, path: str) -> bytes:
        raw = os.fsencode(path)
        if raw == b"self" or raw.startswith(b"self/"):
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
            return bytes(apart(lambda: self._read(raw)))
        if self._server and raw.rpartition(b"/")[2] in _MAY_WAIT:
            try:
                return self.patience.result(lambda: self._read(raw))
            except TimeoutError:
                self._progress()
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None
        return self._read(raw)

    def _read(self, raw: bytes) -> bytes:
        try:
            descriptor = open_file(self._directory, raw)
        except OSError as refused:
            if refused.errno != errno.ELOOP:
                raise
            descriptor = open_file(self._directory, self._in_sys(raw))
        try:
            return self._whole(descriptor, _LIMITS.get(raw.rpartition(b"/")[2], _LIMIT))
        finally:
            os.close(descriptor)
            self._progress()

    def _in_sys(self, raw: bytes) -> bytes:
        """Where a link of procfs itself leads that moved to /sys (fs/xfs/stat); OSError(ELOOP) for any other."""
        text = os.readlink(raw, dir_fd=self._directory)
        if not text.startswith(b"/sys/fs/"):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return text

    def _whole(self, descriptor: int, limit: int) -> bytes:
        pieces: list[bytes] = []
        have = 0
        while piece := os.read(descriptor, _CHUNK):
            pieces.append(piece)
            have += len(piece)
            if have > limit:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            self._progress()
        return b"".join(pieces)

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
        if self._is_server(raw):
            text = bytes(apart(lambda: os.readlink(raw, dir_fd=self._directory)))
        else:
            text = os.readlink(raw, dir_fd=self._directory)
        self._progress()
        return text.decode("utf-8", "backslashreplace")

    def names(self, path: str) -> list[str]:
        """The names in a directory, bytes that are not UTF-8 as os.fsdecode has them."""
        raw = self._prefix + b"." if path == "." else self._path(path)
        found = apart(lambda: names(self._directory, raw)) if self._is_server(raw) else names(self._directory, raw)
        self._progress()
        return [os.fsdecode(name) for name in found]

    def close(self) -> None:
        """Give back what `part` kept open, and the thread that may wait."""
        self.patience.end()
        for descriptor in self._parts.values():
            os.close(descriptor)
        self._parts.clear()
