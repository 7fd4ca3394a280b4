"""Requesters that are refused before the kernel is asked: the mirror cannot act as they are."""

from __future__ import annotations

import errno
import stat

from procmirror.fuse.nodes import Node
from procmirror.identity.errors import Unanswered, error
from procmirror.identity.requester import Requester, Requesters
from procmirror.procfs import proc
from procmirror.procfs.processes import Proc

# Files about the kernel itself, for which it checks no more than a capability or root's uid.
_KERNELS_OWN = frozenset({b"kmsg", b"kcore"})


class Refusals:
    """Refuses requesters that a security module confines, or that are in other namespaces."""

    def __init__(self, source: Proc, requesters: Requesters) -> None:
        self._proc = source
        self._requesters = requesters

    def refuse_confined(self, requester: Requester) -> None:
        """Unanswered(EACCES) for a requester with another confinement than the daemon."""
        if self._requesters.confinement.differs(requester.tid):
            raise Unanswered(errno.EACCES, "the requester is confined by a security module")

    def refuse_confined_about(self, process: object, requester: Requester) -> None:
        """Unanswered(EACCES) for a confined requester if `process` is a process."""
        if process is not None and self._requesters.confinement.exists:
            self.refuse_confined(requester)

    def refuse_for(self, node: Node, requester: Requester) -> None:
        """Unanswered where the requester may not open the entry of a node, for either reason."""
        if self._requesters.confinement.exists:
            self.refuse_confined_for(node, requester)
        if node.process is None:
            self.refuse_apart(node, requester)

    def refuse_confined_for(self, node: Node, requester: Requester) -> None:
        """Unanswered(EACCES) for a confined requester, but for the public files of the root."""
        if not self._requesters.confinement.exists:
            return
        is_index = node.traits is not None and node.traits.is_index
        entry = node.process is None and not node.is_joined_view and not is_index
        if entry and proc.attributes(self._proc.root, node.path).mode & stat.S_IROTH:
            return
        self.refuse_confined(requester)

    def is_apart(self, requester: Requester) -> bool:
        """Whether a requester is in another mount, pid or user namespace, or confined.

        Containers are restricted by mounts over /proc, which do not apply to this mirror.
        """
        return (
            requester.foreign
            or bool(self._requesters.namespaces.differing_of(requester.tid, ("mnt", "pid")))
            or self._requesters.confinement.differs(requester.tid)
        )

    def refuse_apart(self, node: Node, requester: Requester) -> None:
        """OSError(EACCES) for such a requester, for the kernel's log and memory."""
        if node.process is None and node.path in _KERNELS_OWN and self.is_apart(requester):
            raise error(errno.EACCES)
