"""The identity, the process and the place of an operation."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import msgspec

from procmirror.decoding.known_contents import KnownContents
from procmirror.decoding.view import Machine
from procmirror.identity.identity import Identity
from procmirror.mirror.snapshot import Snapshot
from procmirror.procfs.file_reading import THIS_THREAD, FileReading
from procmirror.procfs.processes import Process
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.operation import Operation, Viewer
from procmirror.workers.operations import AnyOperation
from procmirror.workers.placement import Placement
from procmirror.workers.protocol import Request
from procmirror.workers.spool import Spool

# The most of a file and its content in bytes that the daemon keeps, and of all together: those of
# `status` of 1,200 processes.
_LONGEST_KEPT, _MOST_KEPT = 1 << 14, 8 << 20


class Execution(msgspec.Struct, frozen=True, gc=False):
    """The circumstances of one operation.

    It runs as `identity` with `self_capabilities` added, and is about `process`, None for an entry
    of no process. With `here` it runs in the daemon. Otherwise it is sent to a worker in the
    namespaces of `placement`, where it may have to wait for `lock`. `namespaces` are the
    requester's by kind, as link texts, for results that compare them. With `may_lack_label` it runs
    without the label of the placement where no worker can take that on. `opens` are the
    paths that it opens below the directory of the process, None if they are not known. `number` is
    that of the process that a name in the root stands for. With `by_ring` a ring of the daemon is
    asked first, and a worker where that is not answered soon. With `now` the daemon does it itself
    while the requester waits, and not later.
    """

    identity: Identity
    process: Process | None
    placement: Placement
    lock: Hashable = None
    here: bool = False
    self_capabilities: int = 0
    namespaces: dict[str, str] = {}
    may_lack_label: bool = False
    opens: tuple[bytes, ...] | None = ()
    number: bytes = b""
    by_ring: bool = False
    now: bool = False

    def with_self_capabilities(self, capabilities: int) -> Execution:
        """This execution with other self-access capabilities, a mask."""
        return msgspec.structs.replace(self, self_capabilities=capabilities)

    def unlabelled(self) -> Execution:
        """This execution by a worker that is not confined."""
        return msgspec.structs.replace(self, placement=self.placement.unlabelled())

    def of_oneself(self) -> Execution:
        """This execution by a worker that is not confined, with self-access capabilities alone.

        The requester's label may refuse all others.
        """
        identity = self.identity._replace(capabilities=0)
        return msgspec.structs.replace(self.unlabelled(), identity=identity)

    def request(self, operation: Operation[Any]) -> Request:
        """The message that sends an operation to a worker."""
        return Request(
            cast("AnyOperation", operation),
            self.identity,
            self.self_capabilities,
            self.process.name if self.process else self.number,
            self.namespaces,
        )


class DaemonContext:
    """The context of the operations that run in the daemon, all of which are short."""

    def __init__(self, roots: ProcRoots) -> None:
        self._roots = roots
        # This thread reads, or its ring.
        self.files: FileReading = THIS_THREAD
        self.content = KnownContents(_LONGEST_KEPT, _MOST_KEPT).content

    @property
    def own(self) -> int:
        """A procfs in which this process is `self`."""
        return self._roots.own

    def unseen(self) -> bytes:
        """Nothing: where processes are hidden, a worker lists them."""
        return b""

    def progress(self) -> None:
        """Report nothing: an operation in the daemon is short."""

    def grown(self, spool: Spool) -> None:
        """Report nothing: a content in the daemon is complete at once."""

    def machine(self, viewer: Viewer) -> Machine:
        """The facts for decoding that compares no namespaces."""
        return self._roots.facts.machine({}, named=viewer.named)

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> Snapshot:
        """What a view is made from that joins nothing."""
        roots = self._roots
        machine = self.machine(viewer)
        return Snapshot(view, suffix, machine, viewer.pid, None, roots.root, roots.own)
