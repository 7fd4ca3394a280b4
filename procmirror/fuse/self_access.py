"""The right of a process to look at itself, for which the kernel checks nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence

from procmirror.fuse.execution import Execution
from procmirror.identity.confinement import is_of_apparmor
from procmirror.identity.identity import CAP_SYS_NICE
from procmirror.identity.policy import may_read
from procmirror.identity.requester import Requester
from procmirror.mirror import places
from procmirror.mirror.traits import Directory
from procmirror.procfs import proc
from procmirror.procfs.processes import Proc, Process


class SelfAccess:
    """Tells whether a process is the requester's own, and which capabilities stand for that.

    `own` is a descriptor of the procfs in which FUSE names threads.
    """

    def __init__(self, source: Proc, own: int) -> None:
        self._proc = source
        self._own = own

    def number_of(self, requester: Requester) -> bytes | None:
        """The number of the requester's process in the mirrored procfs, None if it has none."""
        return self._proc.number(requester.tgid, self._own)

    def is_own_number(self, number: bytes, requester: Requester) -> bool:
        """Whether a number is that of the requester's process, or of a thread of it."""
        own = self.number_of(requester)
        return own is not None and (number == own or self._proc.has(own + b"/task/" + number))

    def is_own(self, process: Process | None, requester: Requester) -> bool:
        """Whether a process is the requester's own."""
        if process is None:
            return False
        number = self.number_of(requester)
        return number is not None and (
            process.name == number or self._proc.is_thread(process, number)
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

    def is_only_traced(self, descriptors: Sequence[int], execution: Execution) -> bool:
        """Whether a label keeps its worker from what the requester may see of its own process.

        The kernel asks a worker for the right to trace, and the requester only what the policy says
        of the file. `descriptors` begins with the directory of the process.
        """
        opens, label = execution.opens, execution.placement.label
        if not (label and execution.self_capabilities) or opens is None:
            return False
        if not opens:
            # Of what is not opened, links and attributes, AppArmor has no rules.
            return is_of_apparmor(label)
        uid = execution.identity.uid
        return all(self._may_read(label, descriptors[0], path, uid) for path in opens)

    def _may_read(self, label: bytes, directory: int, path: bytes, uid: int) -> bool:
        """Whether a label may read a file below a directory, as the user `uid`."""
        try:
            above = os.readlink(b"self/fd/%d" % directory, dir_fd=self._own)
            owner = proc.attributes(directory, path.strip(b"/")).uid
        except OSError:
            return False
        return may_read(label, b"%s/%s" % (above, path.lstrip(b"/")), owned=owner == uid)
