"""Views and entries without a mount.

Read under the command's own rights, or decoded from a file of another machine.

Needs neither FUSE nor an event loop, so that it works in a container that has Python and nothing
else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import BinaryIO, NoReturn

from procmirror.decoding.render import rendered
from procmirror.decoding.view import Machine
from procmirror.identity.errors import error
from procmirror.mirror import tree
from procmirror.mirror.find import find
from procmirror.mirror.tree import Sibling, Snapshot
from procmirror.procfs.machine import Facts, host_name

_CHUNK = 1 << 17
_LIMIT = 256 << 20


class NotAlone(Exception):
    """A view that is made from more than one file."""


class Contents:
    """What a procfs and its mirror contain for this process; `root` is a descriptor of it."""

    def __init__(self, root: int) -> None:
        self._root = root

    def of(self, path: str) -> Iterator[bytes]:
        """The content of a view or of an entry, in pieces.

        `path` is relative to the procfs or begins with /proc. Raises the kernel's OSError, and
        DecodeError for a content that does not decode.
        """
        names = _names(path)
        place = self._followed(names)
        traits = tree.directory("")
        for name in place[:-1]:
            traits = traits.below(os.fsencode(name))
        sibling = traits.siblings.get(os.fsencode(place[-1])) if place else None
        if path.endswith("/"):
            if sibling:
                raise error(errno.ENOTDIR)
            names.append("")
        return self._view(place, sibling) if sibling else self._entry("/".join(names))

    def _followed(self, names: list[str]) -> list[str]:
        """The names on the way, without the links of the root: `self`, `net`, `mounts.json`."""
        sibling = (
            tree.directory("").siblings.get(os.fsencode(names[0])) if len(names) == 1 else None
        )
        try:
            target = os.readlink(
                sibling.view.entry if sibling else names[0] if names else ".", dir_fd=self._root
            )
        except OSError:
            return names
        followed = f"{target}.{sibling.suffix}" if sibling else target
        return self._followed([*followed.split("/"), *names[1:]])

    def _entry(self, path: str) -> Iterator[bytes]:
        descriptor = os.open(
            path or ".", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=self._root
        )
        try:
            while piece := os.read(descriptor, _CHUNK):
                yield piece
        finally:
            os.close(descriptor)

    def _view(self, place: list[str], sibling: Sibling) -> Iterator[bytes]:
        first = place[0] if place[0].isdigit() else "."
        directory = os.open(first, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root)
        path = "/".join(place[first != "." : -1])
        machine = self._machine
        if tree.is_stamped():
            machine = replace(machine, stamp=self._facts.stamp(host_name()))
        wanted = Snapshot(
            sibling.view.name, sibling.suffix, machine, self._myself, None, self._root, self._root
        )
        try:
            yield from tree.snapshot(directory, os.fsencode(path), wanted, _nothing)
        finally:
            os.close(directory)

    @cached_property
    def _myself(self) -> bytes | None:
        try:
            return os.readlink(b"self", dir_fd=self._root)
        except FileNotFoundError:
            return None

    @cached_property
    def _facts(self) -> Facts:
        return Facts(self._root)

    @cached_property
    def _machine(self) -> Machine:
        namespaces = {}
        for kind in (*tree.ALL, "user", "mnt"):
            with suppress(OSError):
                namespaces[kind] = os.readlink(f"self/ns/{kind}", dir_fd=self._root)
        return self._facts.machine(namespaces, named=True)


def _names(path: str) -> list[str]:
    """The names of a path below the procfs."""
    if not path:
        raise error(errno.ENOENT)
    names = [name for name in path.split("/") if name not in {"", "."}]
    if path.startswith("/"):
        first, *names = names or [""]
        if first != "proc":
            raise OSError(errno.EINVAL, "not below /proc")
    if ".." in names:
        raise OSError(errno.EINVAL, "not below /proc")
    return names


def _nothing() -> None:
    """Report no progress: nothing waits for this."""


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
