"""The right to look at oneself, about which the kernel asks no question."""

from __future__ import annotations

from procmirror.identity.identity import CAP_SYS_NICE
from procmirror.identity.requester import Requester
from procmirror.mirror import places
from procmirror.mirror.tree import Directory
from procmirror.procfs.proc import Proc, Process


class SelfAccess:
    """Tells which process is the requester's own, and what capabilities stand for that.

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
        """The capabilities that an operation on one's own entry adds.

        The kernel knows a process by any of its threads, but for `timerslack_ns`, where it compares
        the threads themselves (timerslack_ns_show, fs/proc/base.c).
        """
        if process is None or not self.is_own(process, requester):
            return 0
        itself = process.name == self._proc.number(requester.tid, self._own)
        added = places.self_capabilities(place.pattern, name)
        return added if itself else added & ~CAP_SYS_NICE
