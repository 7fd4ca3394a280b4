"""The processes in the root of a procfs that `hidepid=` has hide them from some requesters.

The kernel lets a requester find the processes that it may trace, those in user namespaces that its
effective user id owns, and itself. A process that acts for it finds itself instead, and the daemon
has an effective id that owns nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.identity.identity import CAP_SYS_PTRACE
from procmirror.identity.requester import Requester
from procmirror.mirror.tree import Entry
from procmirror.procfs import proc
from procmirror.procfs.mounts import UNKNOWN
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc, Process
from procmirror.workers.directory_operations import ListEntries
from procmirror.workers.entry_operations import GetAttributes
from procmirror.workers.operation import kept_open

# Words of hidepid= with which processes are not listed to everybody.
_NOT_LISTED = frozenset({"invisible", "ptraceable", UNKNOWN})


class Reader(NamedTuple):
    """For whom the root is listed: its number there, and the inode of its directory, 0 for none.

    A later process of the number has another inode. When a process started may not be asked for: it
    may be in execve(2) by now, with the open directory in other hands.
    """

    requester: Requester
    number: bytes | None
    inode: int


class ProcessNames:
    """Looks up and lists names in the root as a requester."""

    def __init__(self, source: Proc, dispatch: Dispatch) -> None:
        self._proc = source
        self._dispatch = dispatch

    def hides_from(self, execution: Execution) -> bool:
        """Whether the root may list less to a requester than to the daemon."""
        everything = execution.here and execution.identity.capabilities & CAP_SYS_PTRACE
        return self._proc.hides in _NOT_LISTED and not everything

    async def attributes(self, number: bytes, requester: Requester) -> Attributes:
        """LOOKUP of a process by its number; OSError as the kernel raises it."""
        label = self._dispatch.placement_of(requester, ()).label
        if not label and self._dispatch.self_access.is_own_number(number, requester):
            return proc.attributes(self._proc.root, number)
        found = await self._dispatch.of_number(
            number, requester, GetAttributes(number), may_lack_label=True
        )
        return self._dispatch.translated([found], requester)[0]

    def of_oneself(self, process: Process, requester: Requester) -> Attributes | None:
        """GETATTR of the requester's own process, whatever hides it; None for any other."""
        label = self._dispatch.placement_of(requester, ()).label
        own = self._dispatch.self_access.is_own(process, requester)
        if not own or label or not self._proc.hides:
            return None
        return proc.attributes(self._proc.directory(process), b"")

    def reader(self, requester: Requester) -> Reader:
        """A requester as the reader of the root."""
        number, inode = self._dispatch.self_access.number_of(requester), 0
        with suppress(OSError):
            inode = proc.attributes(self._proc.root, number).inode if number else 0
        return Reader(requester, number, inode)

    async def listed(self, execution: Execution, reader: Reader) -> list[Entry]:
        """The entries of the root that are not hidden from a reader.

        It may have ended since it opened the root, and its number may be that of another process.
        """
        found = await self._dispatch.run(
            ListEntries(b"", "", hides=True), kept_open(self._proc.root), execution
        )
        shown = self._dispatch.translated([attributes for _, attributes in found], reader.requester)
        entries = list(zip((name for name, _ in found), shown, strict=True))
        own = reader.number
        if own and all(name != own for name, _ in found):
            with suppress(OSError):
                itself = proc.attributes(self._proc.root, own)
                if itself.inode == reader.inode:
                    entries.append((own, itself))
        return entries
