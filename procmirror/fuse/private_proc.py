"""Requesters whose own /proc hides something see through the mirror no more than there.

A service has such a /proc by ProtectProc= and ProcSubset= of systemd, and a mount namespace of its
own with it. Whether such a requester may see a process is asked of the kernel: a procfs with
hidepid= shows those that may be traced, and so are links of /proc judged.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence

import pyfuse3

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.nodes import Node
from procmirror.identity import file_calls
from procmirror.identity.errors import Hidden, Unanswered, hidden
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror.tree import Entry
from procmirror.procfs.link_targets import cached_object
from procmirror.procfs.own_proc import NOTHING, Hiding, hiding
from procmirror.procfs.processes import Proc

# For so many seconds a thread that could see everything in a /proc of its own is not asked about
# again: a third of what a LOOKUP takes, two thirds in another mount namespace. Of so many threads
# it is known.
_OPEN_SECONDS, _MOST_OPEN = 0.01, 256
_ALWAYS = frozenset((b"self", b"thread-self"))


class PrivateProc:
    """Refuses what a requester's own /proc hides.

    `asks()` is whether a look at a root directory may have to wait for the server of its file
    system.
    """

    def __init__(
        self, source: Proc, asks: Callable[[], bool], requesters: Requesters, dispatch: Dispatch
    ) -> None:
        self._requesters = requesters
        self._dispatch = dispatch
        self._asks = asks
        self._device = file_calls.object_of(source.root)[1]
        # Until when a thread counts as one from which nothing is hidden.
        self._open: dict[int, float] = {}

    def concerns(self, tid: int) -> bool:
        """Whether something may be hidden from a thread; the cheap question of each request.

        A thread in the daemon's mount namespace, or in one whose /proc hides nothing, could see all
        a moment ago. So could one whose /proc is the source of the mirror, which hides the same.
        """
        if self._open.get(tid, 0.0) > time.monotonic():
            return False
        try:
            if not self._requesters.namespaces.shares(tid, "mnt") and not self._has_source(tid):
                return True
        except Unanswered:
            return False
        self._sees_all(tid)
        return False

    def _has_source(self, tid: int) -> bool:
        """Whether a thread's /proc is the procfs that is mirrored.

        Its device tells that without the thread's mounts, of which a user may have 100,000.
        """
        if self._asks():
            return False
        try:
            _, device, _ = cached_object(self._requesters.namespaces.proc, tid, b"/proc")
        except OSError:
            return False
        return device == self._device

    async def hiding_of(self, requester: Requester) -> Hiding:
        """What is hidden from a requester in a mount namespace of its own.

        Unanswered(EACCES) where its mounts cannot be read, or are too many to be looked at.
        """
        tid = requester.tid
        if not self.concerns(tid):
            return NOTHING
        try:
            mounts = await self._dispatch.mounts_along(requester, b"/proc")
        except Unanswered:
            raise
        except OSError as unknown:
            reason = f"mounts of requester {tid} unknown: {unknown}"
            raise Unanswered(errno.EACCES, reason) from unknown
        found = hiding(mounts)
        if found is NOTHING:
            self._sees_all(tid)
        return found

    async def _rules(self, context: pyfuse3.RequestContext) -> Hiding:
        if not self.concerns(context.pid):
            return NOTHING
        return await self.hiding_of(
            self._requesters.identify(context.pid, context.uid, context.gid)
        )

    def _sees_all(self, tid: int) -> None:
        if len(self._open) >= _MOST_OPEN:
            self._open.clear()
        self._open[tid] = time.monotonic() + _OPEN_SECONDS

    async def admit_name(self, parent: Node, name: bytes, context: pyfuse3.RequestContext) -> bool:
        """Refuse a name in a directory that is hidden from a requester.

        The name of a process itself is told, as by procfs; False if its attributes are not. An
        error would make the kernel drop the name, and what others have mounted there.
        """
        rules = await self._rules(context)
        if rules is NOTHING:
            return True
        if parent.process is not None:
            await self._admit_process(rules, parent.process.name, context)
        elif parent.parent is None and name.isdigit():
            try:
                await self._admit_process(rules, name, context)
            except Hidden as refused:
                return refused.errno != errno.ENOENT
        else:
            self._admit_system(rules, name if parent.parent is None else b"", None)
        return True

    async def admit(
        self, node: Node, context: pyfuse3.RequestContext, *, by_name: bool = False
    ) -> None:
        """Refuse an operation on a node that is hidden from a requester.

        `by_name`: only attributes are asked for, which `noaccess` tells of a process.
        """
        rules = await self._rules(context)
        if rules is NOTHING or node.parent is None:
            return
        if rules.processes and node.is_view_of_all:
            raise hidden(errno.EACCES)
        if node.process is None:
            self._admit_system(rules, node.name if node.parent.parent is None else b"", node)
        elif not (
            by_name and rules.processes == "noaccess" and node.process is not node.parent.process
        ):
            await self._admit_process(rules, node.process.name, context)

    def _admit_system(self, rules: Hiding, name: bytes, node: Node | None) -> None:
        """Refuse what is no process's: all of it, or what is made of processes that are rules."""
        if rules.system and name not in _ALWAYS:
            raise hidden(errno.ENOENT)
        if rules.processes and node and (node.is_joined_view or _is_index(node)):
            raise hidden(errno.EACCES)

    async def _admit_process(
        self, rules: Hiding, name: bytes, context: pyfuse3.RequestContext
    ) -> None:
        if rules.processes:
            requester = self._requesters.identify(context.pid, context.uid, context.gid)
            if not await self._sees(rules, name, requester):
                raise hidden(errno.EPERM if rules.processes == "noaccess" else errno.ENOENT)

    async def _sees(self, rules: Hiding, name: bytes, requester: Requester) -> bool:
        """Whether the kernel lets a requester trace a process, or its group sees them all."""
        identity = requester.identity
        if rules.processes != "ptraceable" and rules.gid in {identity.gid, *identity.groups}:
            return True
        return await self._dispatch.may_trace(name, requester)

    async def listed(self, entries: Sequence[Entry], requester: Requester) -> list[Entry]:
        """The entries of the root that a requester's own /proc would list."""
        rules = await self.hiding_of(requester)
        shown = []
        for entry in entries:
            name = entry[0]
            if not name.isdigit():
                if not rules.system or name in _ALWAYS:
                    shown.append(entry)
            elif rules.processes in {"", "noaccess"} or await self._sees(rules, name, requester):
                shown.append(entry)
        return shown


def _is_index(node: Node) -> bool:
    return node.place.is_index or (node.traits is not None and node.traits.is_index)
