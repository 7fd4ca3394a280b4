"""Paths of what the inotify(7) and fanotify(7) descriptors of a process watch, for PID/fd.

The kernel tells inodes; likely paths are tried as the requester (procmirror/stack/file_watches.py).
"""

from __future__ import annotations

from msgspec import structs

from procmirror.decoding.text import decoded
from procmirror.decoding.view import Machine, Reading
from procmirror.stack.caller import Caller
from procmirror.stack.file_watches import FileWatches
from procmirror.stack.target import Inode, target_of
from procmirror.views.pid.fdinfo_kinds import Mark
from procmirror.views.pid.used_file import Descriptor


class Watches:
    """What the descriptors of one process watch."""

    def __init__(self, reading: Reading, machine: Machine) -> None:
        self._files = FileWatches(target_of(reading), Caller(reading, machine))

    def named(self, found: Descriptor) -> Descriptor:
        """The row with the paths of what it watches, as far as they are found."""
        if found.inotify:
            return structs.replace(found, inotify=self._marks(found.inotify))
        if found.fanotify and found.fanotify.marks:
            group = structs.replace(found.fanotify, marks=self._marks(found.fanotify.marks))
            return structs.replace(found, fanotify=group)
        return found

    def _marks(self, marks: list[Mark]) -> list[Mark]:
        paths = self._files.paths([one for mark in marks if (one := _file(mark))])
        return [_named(mark, paths.get(file) if (file := _file(mark)) else None) for mark in marks]


def _file(mark: Mark) -> Inode | None:
    if mark.inode is None or mark.device is None:
        return None
    return Inode(mark.device, mark.inode)


def _named(mark: Mark, path: bytes | None) -> Mark:
    return mark if path is None else structs.replace(mark, path=decoded(path))
