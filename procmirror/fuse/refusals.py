"""Requesters that are refused before the kernel is asked, and what is refused to nobody."""

from __future__ import annotations

import errno
import stat

from procmirror.fuse.nodes import Node
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester, Requesters
from procmirror.procfs import proc
from procmirror.procfs.processes import Proc

# Files about the kernel itself, for which it checks no more than a capability or root's uid.
_KERNELS_OWN = frozenset({b"kmsg", b"kcore"})


class Refusals:
    """Refuses the kernel's log and memory to requesters in other namespaces."""

    def __init__(self, source: Proc, requesters: Requesters) -> None:
        self._proc = source
        self._requesters = requesters

    def is_for_everybody(self, node: Node) -> bool:
        """Whether a node is an entry of no process that everybody may read.

        It is shown to confined requesters whose label no worker can take on.
        """
        is_index = node.traits is not None and node.traits.is_index
        entry = node.process is None and not node.is_joined_view and not is_index
        return entry and bool(proc.attributes(self._proc.root, node.path).mode & stat.S_IROTH)

    def is_apart(self, requester: Requester) -> bool:
        """Whether a requester is in another mount, pid or user namespace.

        Containers are restricted by mounts over /proc, which do not apply to this mirror.
        """
        return requester.foreign or bool(
            self._requesters.namespaces.differing_of(requester.tid, ("mnt", "pid"))
        )

    def is_bound(self, requester: Requester) -> bool:
        """Whether a requester is apart, or confined otherwise than the daemon."""
        return self.is_apart(requester) or self._requesters.confinement.differs(requester.tid)

    def refuse_apart(self, node: Node, requester: Requester) -> None:
        """OSError(EACCES) for such a requester, for the kernel's log and memory."""
        if node.process is None and node.path in _KERNELS_OWN and self.is_apart(requester):
            raise error(errno.EACCES)
