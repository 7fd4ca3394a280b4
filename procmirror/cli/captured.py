"""Views of files that were copied from another machine."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from procmirror.decoding.render import rendered
from procmirror.decoding.view import Machine
from procmirror.identity.errors import error
from procmirror.mirror.find import find

_LIMIT = 256 << 20


class NotAlone(Exception):
    """A view that is made from more than one file."""


class _Captured:
    """A `Reading` in which there is one file."""

    def __init__(self, entry: str, file: BinaryIO) -> None:
        self._entry = entry
        self._file = file

    def _refuse(self, path: str) -> NoReturn:
        raise NotAlone(path)

    def read(self, path: str) -> bytes:
        """The whole file."""
        if path != self._entry:
            self._refuse(path)
        content = self._file.read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise error(errno.EFBIG)
        return content

    def lines(self, path: str) -> Iterator[bytes]:
        """Its lines."""
        if path != self._entry:
            self._refuse(path)
        return (line.removesuffix(b"\n") for line in self._file)

    def part(self, path: str, offset: int, size: int) -> bytes:
        """Nothing: only memory is read in parts, and a captured file has none."""
        del offset, size
        if path == "mem":
            raise error(errno.EACCES)
        self._refuse(path)

    def link(self, path: str) -> str:
        """Nothing."""
        self._refuse(path)

    def names(self, path: str) -> list[str]:
        """Nothing."""
        self._refuse(path)


def decoded(path: str, file: BinaryIO, machine: Machine) -> Iterator[bytes]:
    """The view `path` (`PID/stat.txt`; without a suffix its JSON) of a captured file.

    Raises LookupError if there is no such view, NotAlone if it needs more than the file,
    DecodeError, OSError.
    """
    view = find(path)
    suffix = path.rpartition(".")[2]
    record = view.of(_Captured(view.entry, file), machine)
    return rendered(view, suffix if suffix in view.suffixes else view.suffixes[0], record, machine)
