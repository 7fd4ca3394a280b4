"""As whom, about which process and where an operation runs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import msgspec

from procmirror.decoding.view import Machine
from procmirror.identity.identity import Identity
from procmirror.mirror import tree
from procmirror.procfs.proc import Process
from procmirror.workers.operation import Operation, Viewer
from procmirror.workers.operations import AnyOperation
from procmirror.workers.placement import Placement
from procmirror.workers.process import ProcRoots
from procmirror.workers.protocol import Request
from procmirror.workers.spool import Spool


class Execution(msgspec.Struct, frozen=True, gc=False):
    """The circumstances of one operation.

    It runs as `identity` with `self_capabilities` added; `process` is whom it is about, None for
    what is no process's. `here`: it runs in the daemon. Else it is sent to a worker in the
    namespaces of `placement`, where it may have to wait for `lock`. `namespaces` are the
    requester's by kind, as link texts, for results that compare them.
    """

    identity: Identity
    process: Process | None
    placement: Placement
    lock: Hashable = None
    here: bool = False
    self_capabilities: int = 0
    namespaces: dict[str, str] = {}

    def with_self_capabilities(self, capabilities: int) -> Execution:
        """The same with other self-access capabilities, a mask."""
        return msgspec.structs.replace(self, self_capabilities=capabilities)

    def request(self, operation: Operation[Any]) -> Request:
        """The message that sends an operation to a worker."""
        return Request(
            cast("AnyOperation", operation),
            self.identity,
            self.self_capabilities,
            self.process.name if self.process else b"",
            self.namespaces,
        )


class DaemonContext:
    """The context of the operations that run in the daemon, where nothing is long or grows."""

    def __init__(self, roots: ProcRoots) -> None:
        self._roots = roots

    @property
    def own(self) -> int:
        """A procfs in which this process is `self`."""
        return self._roots.own

    def progress(self) -> None:
        """Tell nobody: what runs here is short."""

    def grown(self, spool: Spool) -> None:
        """Tell nobody: what runs here is whole at once."""

    def machine(self, viewer: Viewer) -> Machine:
        """The facts for decoding what compares no namespaces."""
        return self._roots.facts.machine({}, named=viewer.named)

    def snapshot(self, view: str, suffix: str, viewer: Viewer) -> tree.Snapshot:
        """What a view is made from that joins nothing."""
        roots = self._roots
        machine = self.machine(viewer)
        return tree.Snapshot(view, suffix, machine, viewer.pid, None, roots.root, roots.own)
