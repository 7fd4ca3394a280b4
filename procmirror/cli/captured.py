"""Views of files that were copied from another machine."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import cached_property
from typing import BinaryIO

from procmirror.decoding.render import rendered
from procmirror.decoding.view import FileStatus, Machine, View
from procmirror.identity.errors import error
from procmirror.mirror.find import find

_LIMIT = 256 << 20


class NotAlone(Exception):
    """A view that is made from more than one file."""


class _Captured:
    """A `Reading` in which there is the one file of a view; OSError(ENOENT) for everything else.

    Raises DecodeError for a file that is empty and never is on a machine.
    """

    def __init__(self, view: View, file: BinaryIO) -> None:
        self._view = view
        self._file = file

    def read(self, path: str) -> bytes:
        """The whole file, at most 256 MiB."""
        if path != self._view.entry:
            raise error(errno.ENOENT)
        return self._content

    @cached_property
    def _content(self) -> bytes:
        content = self._file.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise error(errno.EFBIG)
        self._view.check_filled(content)
        return content

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of the file, each of at most 256 MiB."""
        if path != self._view.entry:
            raise error(errno.ENOENT)
        begun = False
        while line := self._file.readline(_LIMIT + 1):
            if len(line) > _LIMIT:
                raise error(errno.EFBIG)
            begun = True
            yield line.removesuffix(b"\n")
        if not begun:
            self._view.check_filled(b"")

    def part(self, path: str, offset: int, size: int) -> bytes:
        """Nothing: only memory is read in parts, and a captured file has none."""
        del offset, size
        raise error(errno.EACCES if path == "mem" else errno.ENOENT)

    def link(self, path: str) -> str:
        """OSError(ENOENT): there is one file only."""
        del path
        raise error(errno.ENOENT)

    def names(self, path: str) -> list[str]:
        """OSError(ENOENT): there is one file only."""
        del path
        raise error(errno.ENOENT)

    def size(self, path: str) -> int:
        """OSError(ENOENT): there is one file only."""
        del path
        raise error(errno.ENOENT)

    def opened(self, path: str, mount: int | None) -> FileStatus:
        """OSError(ENOENT): there is one file only."""
        del path, mount
        raise error(errno.ENOENT)

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        """OSError(ENOENT): there is one file only."""
        del addresses, path, device, inode
        raise error(errno.ENOENT)

    def unix_peers(self) -> dict[int, int]:
        """OSError(ENOENT): there is one file only."""
        raise error(errno.ENOENT)


def decoded(path: str, file: BinaryIO, machine: Machine) -> Iterator[bytes]:
    """The view `path` (`PID/stat.txt`; without a suffix its JSON) of a captured file.

    What other files would add (names of processes, paths of locks) is null. Raises LookupError if
    there is no such view, NotAlone if it needs more than the file, DecodeError, OSError.
    """
    view = find(path)
    suffix = path.rpartition(".")[2]
    return _pieces(view, suffix if suffix in view.suffixes else view.suffixes[0], file, machine)


def _pieces(view: View, suffix: str, file: BinaryIO, machine: Machine) -> Iterator[bytes]:
    try:
        record = view.record_of(_Captured(view, file), machine)
        yield from rendered(view, suffix, record, machine)
    except FileNotFoundError as other:
        raise NotAlone(view.name) from other
