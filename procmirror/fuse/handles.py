"""What is open, by the numbers that the kernel knows it by."""

from __future__ import annotations

from procmirror.fuse.nodes import Node
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.open_files import OpenFile
from procmirror.fuse.own_files import OwnContent


class Handles(dict[int, OpenFile | OpenDirectory | OwnContent]):
    """Open files and directories; no number is used twice."""

    _next = 1

    def add(self, handle: OpenFile | OpenDirectory | OwnContent) -> int:
        """Hold something open; returns its number."""
        number = self._next
        self._next += 1
        self[number] = handle
        return number

    def holds_open(self, node: Node) -> bool:
        """Whether a directory is held open."""
        return any(
            isinstance(handle, OpenDirectory) and handle.node is node for handle in self.values()
        )
