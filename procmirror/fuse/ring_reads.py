"""Reading what may wait by threads of the kernel, where that is soon done, instead of by a worker.

A worker's answer costs the wake-ups of two processes and the work of a second Python. What the
daemon may read itself but for the wait, its ring (identity/ring.py) reads as the requester with a
thread of the kernel: if one waits for a lock, the daemon asks a worker, as without a ring.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from copy import copy
from typing import TypeVar

from procmirror.fuse.execution import DaemonContext, Execution
from procmirror.fuse.kernel_threads import DECODED
from procmirror.fuse.nodes import Node
from procmirror.identity.credentials import Credentials
from procmirror.identity.files import READ
from procmirror.identity.identity import Identity
from procmirror.identity.namespaces import outermost_around
from procmirror.identity.ring import Cause, Late, NotSoon, Ring
from procmirror.procfs.file_reading import ByRing
from procmirror.procfs.processes import start_in
from procmirror.procfs.roots import ProcRoots
from procmirror.workers import request_note
from procmirror.workers.entry_operations import ReadObjectLink
from procmirror.workers.file_operations import Open
from procmirror.workers.operation import Operation
from procmirror.workers.view_operations import DecodeFile

T = TypeVar("T")

# Files that the kernel makes in one piece and soon, but for the wait for a lock of the process, or
# for the end of its memory.
_FILES = DECODED | {b"io", b"wchan"}
_FILES_OF = {"PID": _FILES, "PID/attr": frozenset((b"current",))}
_SOON = (Open, DecodeFile, ReadObjectLink)
# The account of what the daemon reads for itself.
_OF_DAEMON = -1
# For so many seconds the ring is asked nothing after a late answer: at first, and at most if it is
# late again and again.
_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.05, 2.0
# For so many identities the kernel keeps the credentials.
_MOST_PERSONALITIES = 64


def is_soon_read(node: Node) -> bool:
    """Whether a node is a file, or a view of one, for which a thread of the kernel is asked."""
    return (
        node.process is not None
        and node.source in _FILES_OF.get(node.place.pattern, ())
        and (node.sibling is None or (node.source in DECODED and not node.is_joined_view))
    )


class RingReads:
    """The ring of the daemon, and the personalities that are registered with it."""

    def __init__(self, ring: Ring, credentials: Credentials, context: DaemonContext) -> None:
        self._ring = ring
        self._credentials = credentials
        self._context = copy(context)
        # That of the daemon itself is kept: it is not to be made while the daemon acts as another.
        self._own = ring.personality()
        self._personalities: OrderedDict[Hashable, int] = OrderedDict()
        # From when on the ring is asked again, and for how long it is not if it is late then.
        self._from, self._pause = 0.0, _PAUSE_SECONDS
        # Whether a mount is one of the daemon's own mount namespace, by its id.
        self.is_held: Callable[[int], bool] = lambda _: False

    @classmethod
    def of(
        cls, ring: Ring | None, credentials: Credentials, context: DaemonContext
    ) -> RingReads | None:
        """Those of a ring; None without one, or where a security module forbids personalities."""
        if ring is None:
            return None
        try:
            made = cls(ring, credentials, context)
            ring.nothing(made._own)
        except (OSError, NotSoon):
            ring.close()
            return None
        return made

    def run(self, operation: Operation[T], descriptors: Sequence[int], execution: Execution) -> T:
        """Carry out an operation; OSError as the kernel raises it, DecodeError; NotSoon.

        What is open is read by workers: a read that waits keeps the open file from all others, so
        that a worker could not be ended while it waits for that.
        """
        cause = Cause(execution.lock, execution.placement.account)
        if time.monotonic() < self._from:
            raise NotSoon
        if type(operation) not in _SOON or not self._ring.may_wait(cause):
            raise NotSoon
        if isinstance(operation, ReadObjectLink) and self._ring.has_unclosed(cause.account):
            raise NotSoon
        personality = self._personality(execution.identity, execution.self_capabilities)
        self._context.files = ByRing(self._ring, personality, cause, self.is_held)
        if note := request_note.current():
            note.lock, note.by_ring = execution.lock, True
        try:
            result = operation.run(descriptors, self._context)
        except Late:
            self._make_pause()
            raise
        self._pause = _PAUSE_SECONDS
        return result

    def _make_pause(self) -> None:
        """Ask the ring nothing for some time, as an answer was late.

        On a busy machine the kernel's threads wait for a processor as workers do.
        """
        self._from = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _MOST_PAUSE_SECONDS)

    def outermost_of(self, roots: ProcRoots, number: bytes, account: int) -> tuple[int, int] | None:
        """Inode and owner of the outermost user namespace around a process, below the daemon's.

        None if that is not soon told; OSError as the kernel raises it.
        """
        cause = Cause(("user namespace", number), account)
        if time.monotonic() < self._from or not self._ring.may_wait(cause):
            return None
        try:
            found = self._ring.open(roots.root, number + b"/ns/user", READ, self._own, cause)
        except NotSoon as missing:
            if isinstance(missing, Late):
                self._make_pause()
            return None
        return outermost_around(found, roots.user_namespace)

    def close_object(self, descriptor: int, account: int) -> None:
        """Close an object of a user for an account, so that the daemon does not wait for that."""
        self._ring.close_object(descriptor, account)

    def settle(self) -> None:
        """Close what came late, which would keep a mount busy while nobody asks for anything."""
        self._ring.settle()

    def has_unclosed(self, account: int) -> bool:
        """Whether an object of an account cannot be closed yet: no more is to be opened for it."""
        return self._ring.has_unclosed(account)

    def start_of(self, directory: int) -> bytes | None:
        """When the process of a directory started, in ticks; None if that is not soon told."""
        with suppress(NotSoon):
            return start_in(self._stat(directory, "start"))
        return None

    def stat_of(self, directory: int) -> bytes | None:
        """The `stat` of the process of a directory; None if that is not soon told.

        It spares a worker at most, and is not asked for on a busy machine.
        """
        if time.monotonic() < self._from:
            return None
        try:
            return self._stat(directory, "kernel thread")
        except NotSoon as missing:
            if isinstance(missing, Late):
                self._make_pause()
            return None

    def _stat(self, directory: int, question: str) -> bytes:
        """The `stat` of the process of a directory, read with the daemon's own rights; NotSoon.

        One answer to each question about a process may be waited for.
        """
        cause = Cause((question, os.fstat(directory).st_ino), _OF_DAEMON)
        if not self._ring.may_wait(cause):
            raise NotSoon
        files = ByRing(self._ring, self._own, cause)
        return files.content(directory, b"stat", lambda: None)

    def _personality(self, identity: Identity, capabilities: int) -> int:
        """The personality of an identity with some capabilities added (a mask); NotSoon."""
        if not capabilities and identity == self._credentials.rest:
            return self._own
        key = identity, capabilities
        known = self._personalities.get(key)
        if known is not None:
            self._personalities.move_to_end(key)
            return known
        with self._credentials.acting_as(identity, capabilities):
            try:
                made = self._ring.personality()
            except OSError:
                # It says nothing of the file.
                raise NotSoon from None
        if len(self._personalities) >= _MOST_PERSONALITIES:
            self._ring.forget(self._personalities.popitem(last=False)[1])
        self._personalities[key] = made
        return made


def ring_or_none(poll_alone: Callable[[int], bool]) -> Ring | None:
    """A ring; None where the kernel has none that will do, or this process may not have one."""
    try:
        return Ring(poll_alone)
    except OSError:
        return None
