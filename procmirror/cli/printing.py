"""Views and entries without a mount.

Read under the command's own rights.

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

from procmirror.cli.lookup import Lookup, is_pattern
from procmirror.decoding.view import Machine
from procmirror.identity.errors import error
from procmirror.identity.namespaces import NAMESPACES
from procmirror.mirror import settings
from procmirror.mirror.bounded_snapshot import bounded_snapshot
from procmirror.mirror.siblings import Sibling
from procmirror.mirror.snapshot import Snapshot
from procmirror.procfs.machine import Facts, host_name
from procmirror.procfs.peer import ITSELF

_CHUNK = 1 << 17


class Contents:
    """The contents of a procfs and its mirror for this process; `root` is a descriptor of it."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._lookup = Lookup(root, lambda index: self._wanted(index, ""))

    def of(self, path: str) -> Iterator[bytes]:
        """The content of a view or of an entry, in pieces.

        `path` is relative to the procfs or begins with /proc. Raises the kernel's OSError, and
        DecodeError for a content that does not decode.
        """
        names = self._lookup.led(_names(path))
        place = self._lookup.followed(names)
        beside = self._lookup.traits(place[:-1]).siblings
        sibling = beside.get(os.fsencode(place[-1])) if place else None
        if path.endswith("/"):
            if sibling:
                raise error(errno.ENOTDIR)
            names.append("")
        return self._view(place, sibling) if sibling else self._entry("/".join(names))

    def paths(self, path: str) -> list[str]:
        """The paths that a path stands for: itself, or what a pattern matches.

        Raises OSError(ENOENT) for a pattern that matches nothing.
        """
        if not is_pattern(path):
            return [path]
        found = self._lookup.matching(_names(path))
        if not found:
            raise error(errno.ENOENT)
        return ["/".join(place) for place in found]

    def forget(self) -> None:
        """Forget which processes there are, so that `paths` finds those of this moment."""
        self._lookup.forget()

    def suggestion(self, path: str) -> str:
        """The path of something that is there and has nearly that name, or ""."""
        try:
            return self._lookup.similar(_names(path))
        except OSError:
            return ""

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
        wanted = self._wanted(sibling.view.name, sibling.suffix)
        try:
            yield from bounded_snapshot(directory, os.fsencode(path), wanted)
        finally:
            os.close(directory)

    def _wanted(self, view: str, suffix: str) -> Snapshot:
        machine = self._machine
        if settings.is_stamped():
            machine = replace(machine, stamp=self._facts.stamp(host_name()))
        return Snapshot(view, suffix, machine, self._myself, ITSELF, self._root, self._root)

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
        for kind in (*NAMESPACES, "pid", "user", "mnt"):
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
