"""What is open, by the numbers that the kernel knows it by."""

from __future__ import annotations

from collections import Counter

from procmirror.fuse.nodes import Node
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.open_files import OpenFile
from procmirror.fuse.own_files import OwnContent


class Handles(dict[int, OpenFile | OpenDirectory | OwnContent]):
    """Open files and directories; no number is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 1
        # How often each directory is held open.
        self._directories: Counter[Node] = Counter()

    def add(self, handle: OpenFile | OpenDirectory | OwnContent) -> int:
        """Hold something open; returns its number."""
        number = self._next
        self._next += 1
        self[number] = handle
        if isinstance(handle, OpenDirectory):
            self._directories[handle.node] += 1
        return number

    def take(self, number: int) -> OpenFile | OpenDirectory | OwnContent:
        """What was held open by a number, and is no longer."""
        handle = self.pop(number)
        if isinstance(handle, OpenDirectory):
            self._directories[handle.node] -= 1
            if not self._directories[handle.node]:
                del self._directories[handle.node]
        return handle

    def holds_open(self, node: Node) -> bool:
        """Whether a directory is held open."""
        return node in self._directories
