"""Open files: a view, and a raw file.

The opener is identified at OPEN. A READ names no requester, and by then the opener's number may be
another thread's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.fuse.quota import Charge
from procmirror.fuse.snapshots import Snapshot, SnapshotInMemory
from procmirror.identity.errors import error
from procmirror.workers.file_operations import Read, ReadAhead
from procmirror.workers.opened import Opened
from procmirror.workers.operation import Viewer, kept_open

# For so many seconds, bytes that were read with OPEN are as good as those of a READ.
READAHEAD_SECONDS = 0.005
# A small view is made again when it is read from the start, at most once in so many seconds.
REWIND_SECONDS = 1.0


class Opener(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The requester of an OPEN, and what it opened.

    `execution` tells how the file is read: without self-access capabilities, which end with OPEN.
    `flags` are the access mode and O_TRUNC.
    """

    node: Node
    execution: Execution
    viewer: Viewer
    flags: int = os.O_RDONLY


_EMPTY = SnapshotInMemory(b"")
# Files of a process that the kernel reads anew for whoever has them open: of others it tells what
# the process had in memory when they were opened, or asks who reads.
_LIVE = frozenset(
    (
        *(b"cgroup", b"cmdline", b"comm", b"limits", b"oom_score", b"oom_score_adj"),
        *(b"sched", b"schedstat", b"stat", b"statm", b"status"),
    )
)


def tells_all_the_same(node: Node) -> bool:
    """Whether a view may be made again, with its opener's rights, for whoever has it by then.

    A raw file that is read to its end at OPEN may: of mounts the kernel tells the same to all.
    """
    if node.sibling is None:
        return True
    if node.is_view_of_all or node.is_joined_view:
        return False
    return node.process is None or node.source in _LIVE


class ViewFile:
    """An open view.

    `make` makes its content as the opener. A small content is made again when it is read from the
    start, where an open file of /proc would tell the same to everybody (`tells_all_the_same`);
    meanwhile every reader gets the present one.
    """

    def __init__(
        self, opener: Opener, charge: Charge, make: Callable[[], Awaitable[Snapshot]]
    ) -> None:
        self._renews = tells_all_the_same(opener.node)
        self.opener = opener
        self.charge = charge
        self._make = make
        self._snapshot: Snapshot = _EMPTY
        self._made_at = 0.0
        self._was_read = False
        self._renewing = False

    def show(self, snapshot: Snapshot) -> None:
        """Let the file be read from a snapshot in place of the earlier one.

        OSError(ENFILE) if the account holds too much; then the earlier snapshot stays.
        """
        try:
            self.charge.resize(snapshot.size)
        except OSError:
            snapshot.close()
            raise
        self._snapshot.close()
        self._snapshot = snapshot
        self._made_at = time.monotonic()
        snapshot.follow(self.charge)

    async def read(self, offset: int, size: int) -> bytes:
        """A slice of the content."""
        if not self._was_read:
            self._was_read = True
        elif offset == 0:
            await self._rewind()
        snapshot = self._snapshot
        if isinstance(snapshot, SnapshotInMemory):
            return snapshot.data[offset : offset + size]
        return await snapshot.read(offset, size)

    async def _rewind(self) -> None:
        """Make a small content again, but not twice within a second."""
        age = time.monotonic() - self._made_at
        small = isinstance(self._snapshot, SnapshotInMemory)
        if self._renewing or not (small and self._renews) or age <= REWIND_SECONDS:
            return
        self._renewing = True
        try:
            self.show(await self._make())
        finally:
            self._renewing = False

    def close(self) -> None:
        """Close the snapshot."""
        self._snapshot.close()


class Readahead:
    """The first bytes of a raw file, read with its OPEN.

    `data` are the bytes, `complete` says whether they are the whole file. With `at_once` they are
    good only for a READ that takes all of them. `refused` is the errno of the kernel's refusal to
    read, 0 for none.
    """

    def __init__(
        self, data: bytes, *, complete: bool, at_once: bool = False, refused: int = 0
    ) -> None:
        self._data = data
        self._refused = refused
        self._complete = complete
        self._at_once = at_once
        self._read_at = time.monotonic()
        self._in_use = False

    def slice(self, offset: int, size: int) -> bytes | None:
        """The bytes for a READ; None if they have to come from the kernel.

        Only a reader that begins at once, at the start, gets these bytes, and then gets all of
        them: bytes that the kernel gives later may not fit to them. Such a reader is refused if the
        kernel refused to read: OSError.
        """
        end = len(self._data)
        if offset == 0:
            fresh = time.monotonic() - self._read_at < READAHEAD_SECONDS
            if fresh and self._refused:
                raise error(self._refused)
            self._in_use = fresh and (size >= end or not self._at_once)
        behind = offset > end or (offset == end and not self._complete)
        if not self._in_use or behind or (self._at_once and 0 < offset < end):
            return None
        return self._data[offset : offset + size]


class RawFile:
    """A raw file that is read and written as the opener, here or by workers as it was opened.

    `position` is that of the file after the last WRITE, in bytes. What is read ahead is charged
    for as long as it is kept; an account that holds much gets nothing read ahead.
    """

    __slots__ = ("_dispatch", "_readahead", "charge", "descriptor", "opener", "position")

    def __init__(
        self, opener: Opener, charge: Charge, opened: Opened[ReadAhead], dispatch: Dispatch
    ) -> None:
        self.opener = opener
        self.charge = charge
        self.descriptor = opened.number
        self.position = 0
        self._dispatch = dispatch
        self._readahead: Readahead | None = None
        if opened.readahead is not None:
            data, complete, refused = opened.readahead
            at_once = opener.node.place.at_once
            if not data or charge.add_if_half_is_left(len(data)):
                self._readahead = Readahead(
                    data, complete=complete, at_once=at_once, refused=refused
                )

    async def read(self, offset: int, size: int) -> bytes:
        """The bytes that were read ahead, or the kernel's answer to the opener."""
        if self._readahead is not None:
            piece = self._readahead.slice(offset, size)
            if not piece:
                self._readahead = None
                self.charge.resize(0)
            if piece is not None:
                return piece
        return await self._dispatch.run(
            Read(offset, size), kept_open(self.descriptor), self.opener.execution
        )

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


OpenFile: TypeAlias = ViewFile | RawFile
