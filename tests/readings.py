"""Imitated sources of views, of which a test says all that they answer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from typing import Any

from procmirror.decoding.view import FileStatus


class Imitated:
    """A `Reading` of the files and links that a test names; no other file exists.

    A number is the errno of a file or link, `unnamed` that of every link that the test does not
    name. `asked` has the paths that were read.
    """

    def __init__(
        self,
        files: Mapping[str, object],
        links: Mapping[str, object] | None = None,
        *,
        unnamed: int = errno.ENOENT,
    ) -> None:
        self.files, self.unnamed = files, unnamed
        self.links = {} if links is None else links
        self.asked: list[str] = []

    def _answer(self, path: str, answers: Mapping[str, Any], missing: int = errno.ENOENT) -> Any:
        self.asked.append(path)
        answer = answers.get(path, missing)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        return answer

    def read(self, path: str) -> bytes:
        found: bytes = self._answer(path, self.files)
        return found

    def part(self, path: str, offset: int, size: int) -> bytes:
        return self.read(path)[offset : offset + size]

    def lines(self, path: str) -> Iterator[bytes]:
        yield from self.read(path).splitlines()

    def link(self, path: str) -> str:
        return str(self._answer(path, self.links, self.unnamed))

    def size(self, path: str) -> int:
        raise FileNotFoundError(2, path)

    def unix_peers(self) -> dict[int, int]:
        return {}

    def mapped_file(
        self, addresses: tuple[str, str], path: str, device: str, inode: int
    ) -> FileStatus:
        del addresses, device, inode
        raise FileNotFoundError(2, path)

    def opened(self, path: str, mount: int | None) -> FileStatus:
        del mount
        raise FileNotFoundError(2, path)

    def names(self, path: str) -> list[str]:
        if isinstance(self.files.get(path), int):
            self.read(path)
        start = "" if path == "." else f"{path}/"
        found = (
            name[len(start) :].partition("/")[0]
            for name in [*self.files, *self.links]
            if name.startswith(start)
        )
        return list(dict.fromkeys(found))
