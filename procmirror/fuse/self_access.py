"""The right of a process to look at itself, for which the kernel checks nothing."""

from __future__ import annotations

from procmirror.identity.identity import CAP_SYS_NICE
from procmirror.identity.requester import Requester
from procmirror.mirror import places
from procmirror.mirror.traits import Directory
from procmirror.procfs.processes import Proc, Process


class SelfAccess:
    """Tells whether a process is the requester's own, and which capabilities stand for that.

    `own` is a descriptor of the procfs in which FUSE names threads.
    """

    def __init__(self, source: Proc, own: int) -> None:
        self._proc = source
        self._own = own

    def is_own(self, process: Process | None, requester: Requester) -> bool:
        """Whether a process is the requester's own."""
        if process is None:
            return False
        number = self._proc.number(requester.tgid, self._own)
        return number is not None and (
            process.name == number or self._proc.leader(process) == number
        )

    def capabilities(
        self, process: Process | None, requester: Requester, place: Directory, name: bytes
    ) -> int:
        """The capabilities that are added for an operation on the requester's own process.

        For the kernel every thread is the process itself, except for `timerslack_ns`, which
        compares the threads (timerslack_ns_show, fs/proc/base.c).
        """
        if process is None or not self.is_own(process, requester):
            return 0
        itself = process.name == self._proc.number(requester.tid, self._own)
        added = places.self_capabilities(place.pattern, name)
        return added if itself else added & ~CAP_SYS_NICE
