"""Open files, one class a kind: a view, and a raw file that is read here or by a worker.

What is known of the opener is found out at OPEN. A READ names nobody, and later the number of the
opener may be another thread's.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from procmirror.fuse.nodes import Node
from procmirror.fuse.placement import Dispatch, request_of
from procmirror.fuse.quota import Quota
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import error
from procmirror.identity.identity import Identity
from procmirror.procfs import proc
from procmirror.workers.handle import Result, payload
from procmirror.workers.operations import Read, Viewer
from procmirror.workers.placement import Placement
from procmirror.workers.spool import Spool
from procmirror.workers.stream import Stream

# Bytes that were read with OPEN are as good as those of a READ for so many seconds.
READAHEAD_SECONDS = 0.005
# A small view is made anew when it is read from the start, at most once in so many seconds.
REWIND_SECONDS = 1.0

# The scope in which a request counts as one that waits.
Waiting: TypeAlias = "Callable[[], AbstractContextManager[None]]"


@dataclass(frozen=True, slots=True, eq=False)
class Opener:
    """The requester of an OPEN, and what it opened.

    `namespaces` are the requester's by kind, as link texts, for views that compare them. `flags`
    are the access mode and O_TRUNC.
    """

    node: Node
    identity: Identity
    placement: Placement
    viewer: Viewer
    namespaces: dict[str, str]
    flags: int = os.O_RDONLY


class Charge:
    """What one open file costs its account: a number of descriptors, and bytes that may change."""

    def __init__(self, quota: Quota, account: int, descriptors: int) -> None:
        self._quota = quota
        self._account = account
        self._descriptors = descriptors
        self.size = 0

    def resize(self, size: int) -> None:
        """Charge `size` bytes in place of those before; OSError(ENFILE) beyond the limit."""
        self._quota.charge(self._account, 0, size - self.size)
        self.size = size

    def add(self, size: int) -> None:
        """Charge so many bytes more; OSError(ENFILE) beyond the limit."""
        self.resize(self.size + size)

    def refund(self) -> None:
        """Give everything back to the account."""
        self._quota.refund(self._account, self._descriptors, self.size)


class Snapshot(Protocol):
    """The content of a view as it was when it was made; `size` is its length in bytes so far."""

    size: int

    async def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""

    def follow(self, charge: Charge) -> None:
        """Charge to an account what the content still grows by."""

    def close(self) -> None:
        """Give back what it holds."""


class SnapshotInMemory:
    """A small content."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    async def read(self, offset: int, size: int) -> bytes:
        """A slice."""
        return self._data[offset : offset + size]

    def follow(self, charge: Charge) -> None:
        """Nothing: it is complete."""

    def close(self) -> None:
        """Nothing: it holds no descriptor."""


class SnapshotSpooled:
    """A large content in a spool, which a worker may still be making (`stream`).

    `waiting` is the scope in which a reader counts as one that waits.
    """

    __slots__ = ("_descriptor", "_stream", "_waiting", "size")

    def __init__(
        self,
        descriptor: int,
        size: int,
        stream: Stream | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._stream = stream
        self._waiting = waiting
        self.size = size

    async def read(self, offset: int, size: int) -> bytes:
        """What is there, when enough of it is; EIO at the end of what was never finished."""
        stream = self._stream
        if stream is None:
            return os.pread(self._descriptor, size, offset)
        if not stream.has(offset, size) and self._waiting is not None:
            with self._waiting():
                await stream.wait_for(offset, size)
        return stream.read(offset, size)

    def follow(self, charge: Charge) -> None:
        """Charge each piece when the worker reports it; a refusal ends the stream."""
        if self._stream:
            self._stream.charge = charge.add

    def close(self) -> None:
        """End the stream, if any, and close the spool."""
        if self._stream:
            self._stream.abandon()
        os.close(self._descriptor)


def snapshot_of(made: bytes | Spool | Result, waiting: Waiting) -> Snapshot:
    """The snapshot in what was made here (bytes, a Spool) or came from a worker."""
    if isinstance(made, bytes):
        return SnapshotInMemory(made)
    if isinstance(made, Spool):
        return SnapshotSpooled(made.number, made.size)
    if made.descriptor < 0:
        return SnapshotInMemory(bytes(made.value))
    size = made.stream.size if made.stream else int(made.value)
    return SnapshotSpooled(made.descriptor, size, made.stream, waiting)


class ViewFile:
    """An open view.

    `make` makes its content as the opener. Reading again from the start makes small contents anew;
    meanwhile every reader gets the content that there is.
    """

    def __init__(
        self, opener: Opener, charge: Charge, make: Callable[[], Awaitable[Snapshot]]
    ) -> None:
        self.opener = opener
        self.charge = charge
        self._make = make
        self._snapshot: Snapshot = SnapshotInMemory(b"")
        self._made_at = 0.0
        self._was_read = False
        self._renewing = False

    def show(self, snapshot: Snapshot) -> None:
        """Let the file be read from a snapshot, in place of the one before.

        OSError(ENFILE) if the account holds too much; the snapshot before stays then.
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
        if offset == 0:
            await self._rewind()
        return await self._snapshot.read(offset, size)

    async def _rewind(self) -> None:
        """Make a small content anew, but not for the first READ, nor twice within a second."""
        if not self._was_read:
            self._was_read = True
            return
        age = time.monotonic() - self._made_at
        small = isinstance(self._snapshot, SnapshotInMemory)
        if self._renewing or not small or age <= REWIND_SECONDS:
            return
        self._renewing = True
        try:
            self.show(await self._make())
        finally:
            self._renewing = False

    def close(self) -> None:
        """Give back the snapshot."""
        self._snapshot.close()


class RawFileHere:
    """A raw file that the daemon reads itself, because no read of it can wait."""

    def __init__(
        self, opener: Opener, charge: Charge, descriptor: int, credentials: Credentials
    ) -> None:
        self.opener = opener
        self.charge = charge
        self._descriptor = descriptor
        self._credentials = credentials

    async def read(self, offset: int, size: int) -> bytes:
        """The kernel's answer to the opener."""
        with self._credentials.acting_as(self.opener.identity):
            return proc.read(self._descriptor, offset, size)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class Readahead:
    """The first bytes of a raw file, read with its OPEN.

    `data` are the bytes, `complete` says whether they are the whole file.
    """

    def __init__(self, data: bytes, *, complete: bool) -> None:
        self._data = data
        self._complete = complete
        self._read_at = time.monotonic()
        self._in_use = False

    def slice(self, offset: int, size: int) -> bytes | None:
        """The bytes for a READ, None if these have to come from the kernel.

        Only a reader that begins at once, at the start, gets them, and then gets all of them: bytes
        that the kernel gives later could not be joined to these.
        """
        if offset == 0:
            self._in_use = time.monotonic() - self._read_at < READAHEAD_SECONDS
        behind = offset > len(self._data) or (offset == len(self._data) and not self._complete)
        if not self._in_use or behind:
            return None
        return self._data[offset : offset + size]


class RawFileByWorker:
    """A raw file that a worker opened, and that workers read and write, as the opener.

    `position` is where the file stands after the last WRITE.
    """

    def __init__(
        self,
        opener: Opener,
        charge: Charge,
        descriptor: int,
        dispatch: Dispatch,
        readahead: Readahead | None,
    ) -> None:
        self.opener = opener
        self.charge = charge
        self.descriptor = descriptor
        self.position = 0
        self._dispatch = dispatch
        self._readahead = readahead

    async def read(self, offset: int, size: int) -> bytes:
        """The bytes that were read ahead, or the kernel's answer to the opener."""
        if self._readahead is not None:
            piece = self._readahead.slice(offset, size)
            if not piece:
                self._readahead = None
            if piece is not None:
                return piece
        opener = self.opener
        request = request_of(Read(offset, size), opener.identity, opener.node.process)
        result = await self._dispatch.call(
            opener.node, opener.placement, request, [self.descriptor]
        )
        return bytes(payload(result))

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


OpenFile: TypeAlias = ViewFile | RawFileHere | RawFileByWorker


def opened_by_worker(
    opener: Opener, charge: Charge, result: Result, dispatch: Dispatch
) -> RawFileByWorker:
    """The file in a worker's result; OSError(EMFILE) if the daemon had no room for it."""
    if result.descriptor < 0:
        raise error(errno.EMFILE)
    readahead = None
    if result.value is not None:
        data, complete = result.value
        readahead = Readahead(data, complete=complete)
    return RawFileByWorker(opener, charge, result.descriptor, dispatch, readahead)
