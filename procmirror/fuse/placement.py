"""Where an operation runs: in the daemon, in a worker, or in one in the requester's namespaces."""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from procmirror.fuse.execution import Execution
from procmirror.fuse.kernel_threads import KernelThreads
from procmirror.fuse.nodes import Node
from procmirror.fuse.quota import account_of
from procmirror.fuse.refusals import Refusals
from procmirror.fuse.ring_reads import is_soon_read
from procmirror.fuse.self_access import SelfAccess
from procmirror.identity.credentials import Credentials
from procmirror.identity.identity import Identity
from procmirror.identity.namespaces import NAMESPACES
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror.places import END_MEMORY
from procmirror.mirror.traits import Directory
from procmirror.procfs.processes import Proc, Process
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.placement import Placement

T = TypeVar("T")

# Of so many threads the placement is kept.
_KNOWN = 64


class Placements:
    """Decides where each operation runs.

    `self_access` and `refusals` have the other rules about requesters, `kernel_threads` one about
    processes.
    """

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        roots: ProcRoots,
    ) -> None:
        self.self_access = SelfAccess(source, roots.own)
        self.refusals = Refusals(source, requesters)
        self.kernel_threads = KernelThreads(source)
        # Of a process in another user namespace, for an account: the inode and the owner of the
        # outermost one around it, None if that is not soon told; OSError as the kernel raises it.
        self.outermost_of: Callable[[bytes, int], tuple[int, int] | None] = lambda *_: None
        self._proc = source
        self._credentials = credentials
        self._requesters = requesters
        self._roots = roots
        # By thread the requester that was last known, and where it runs what no namespace decides.
        self._placements: dict[int, tuple[Requester, Placement]] = {}
        # The last requester with all rights of the daemon.
        self._equal: Requester | None = None

    # Where it runs

    def runs_here(
        self, process: Process | None, placement: Placement, *, waits: bool, equal: bool = False
    ) -> bool:
        """Whether an operation runs in the daemon instead of in a worker.

        It does if it cannot wait (`waits`), depends on none of the requester's namespaces, and is
        not about the daemon itself, about which the kernel would tell the daemon everything. With
        `equal` the daemon may answer about itself, too, if the requester has all rights of the
        daemon.
        """
        if waits or placement.apart:
            return False
        if process is not None and self.depends_on_euid(process.name, placement.identity):
            return False
        about_daemon = process is not None and process.own
        return not about_daemon or (equal and self._credentials.equals(placement.identity))

    def runs_at_rest(self, requester: Requester, place: Directory) -> bool:
        """Whether the daemon, as it is, carries out what cannot wait on an entry of a process.

        The requester has all of its rights. Of what `execution` decides, nothing else makes a
        difference then; nor does it if the process is the daemon's.
        """
        if place.blocks:
            return False
        if requester is self._equal:
            return True
        confined = requester.foreign or self._requesters.confinement.exists
        if confined or not self._credentials.equals(requester.identity):
            return False
        self._equal = requester
        return True

    def may_read_now(self, node: Node, execution: Execution) -> bool:
        """Whether the daemon itself may read a file at OPEN that else its ring reads.

        In the hands of the reader of such a file the memory of the process may end. It does not
        while a thread of that process waits for the answer. What the user of the daemon has started
        has no memory whose end waits for what another user does.
        """
        process = node.process
        return (
            execution.by_ring
            and process is not None
            and node.source in END_MEMORY
            and (
                bool(execution.self_capabilities)
                or (self._proc.native and self._credentials.controls(int(process.name)))
            )
        )

    def depends_on_euid(self, number: bytes, identity: Identity) -> bool:
        """Whether the effective user id may decide about a process; the daemon never assumes it.

        A worker finds out whether it does.
        """
        if not self._credentials.privileged:
            return False
        euid = identity.uid if identity.euid < 0 else identity.euid
        if euid <= 0 or not self._roots.may_be_owned(number):
            return False
        try:
            found = self.outermost_of(number, euid)
        except OSError:
            return False
        return found is None or found[1] == euid

    def differing_of(self, requester: Requester, kinds: Sequence[str]) -> dict[str, str]:
        """The requester's namespaces in which an operation has to run, if not in the daemon's.

        EACCES if that is impossible.
        """
        differing = self._requesters.namespaces.differing_of(requester.tid, kinds) if kinds else {}
        if "pid" in differing:
            raise PermissionError(errno.EACCES, "it depends on the requester's pid namespace")
        if requester.foreign:
            differing = self._requesters.namespaces.differing_of(requester.tid)
            differing["user"] = requester.user_namespace
        return differing

    def placement_of(self, requester: Requester, kinds: Sequence[str]) -> Placement:
        """The placement of an operation that depends on these of the requester's namespaces."""
        label = self._requesters.confinement.other_label_of(requester.tid)
        if kinds or requester.foreign or label:
            return self._placed(requester, self.differing_of(requester, kinds), label)
        known = self._placements.get(requester.tid)
        if known is not None and known[0] is requester:
            return known[1]
        if len(self._placements) >= _KNOWN:
            self._placements.clear()
        # Without namespaces to hold it can be shared.
        placement = self._placed(requester, {}, b"")
        self._placements[requester.tid] = requester, placement
        return placement

    def _placed(self, requester: Requester, differing: dict[str, str], label: bytes) -> Placement:
        return Placement(
            requester.tid,
            self._requesters.worker_identity(requester),
            self.account_of(requester),
            differing,
            label,
        )

    def placement_of_content(self, node: Node, requester: Requester) -> Placement:
        """The placement for reading an entry or making a view, from OPEN to RELEASE."""
        kinds = NAMESPACES if node.is_joined_view else node.place.depends_on(node.source)
        placement = self.placement_of(requester, kinds)
        if placement.differing:
            placement.hold(self._roots.own)
        return placement

    def account_of(self, requester: Requester) -> int:
        """The account that a requester is charged to."""
        return account_of(requester, self._credentials.permitted, self._requesters.proc)

    def shares_pid_namespace(self, requester: Requester) -> bool:
        """Whether a requester is in the daemon's pid namespace, and so has its numbers there."""
        return self._requesters.namespaces.shares(requester.tid, "pid")

    # What it may wait for

    def lock(self, process: Process | None, place: Directory, name: bytes) -> Hashable:
        """The lock that an operation on an entry may wait for; None for an entry of no process."""
        return None if process is None else (process, place.waits_for(name))

    def lock_of_content(self, node: Node, account: int) -> Hashable:
        """The lock that reading an entry or making a view may wait for.

        Joined views of the whole machine wait for each other within an account.
        """
        if node.process is None or node.is_view_of_all:
            return ("joined", account) if node.is_joined_view else None
        if node.is_joined_view and node.sibling:
            return (node.process, node.sibling.view.name)
        return self.lock(node.process, node.place, node.source)

    def execution(
        self,
        process: Process | None,
        requester: Requester,
        traits: Directory,
        source: bytes,
        *,
        kinds: Sequence[str],
        waits: bool = False,
        self_capabilities: int = 0,
        node: Node | None = None,
    ) -> Execution:
        """The circumstances of an operation on the entry `source` of a directory with `traits`.

        It depends on namespaces of these `kinds`. With `waits` it runs in a worker even if others
        of its directory do not. With `node` it lists that directory.
        """
        placement = self.placement_of(requester, kinds)
        here = self.runs_here(process, placement, waits=waits or traits.blocks)
        return Execution(
            requester.identity,
            process,
            placement,
            self.lock(process, traits, source),
            here,
            self_capabilities,
            may_lack_label=bool(placement.label)
            and (self.refusals.is_for_everybody(node) if node else process is None),
            opens=(b"%s/" % node.path,) if node else (),
            by_ring=waits and self.runs_here(process, placement, waits=traits.blocks),
        )

    def execution_of_content(
        self, node: Node, requester: Requester, placement: Placement, *, written: bool
    ) -> Execution:
        """The circumstances of reading an open file; with `written`, also of writing it."""
        process = node.process
        joined = node.is_joined_view
        if not written and self.runs_here(process, placement, waits=joined, equal=True):
            if node.place.is_prompt(node.source) or self.kernel_threads.answers_at_once(node):
                return Execution(requester.identity, process, placement, None, True)  # noqa: FBT003
            if is_soon_read(node) and not (process and process.own):
                # Neither a label nor namespaces make a difference.
                lock = self.lock(process, node.place, node.source)
                return Execution(requester.identity, process, placement, lock, by_ring=True)
        namespaces = (
            self._requesters.namespaces.all_of(requester.tid, placement.differing) if joined else {}
        )
        lock = self.lock_of_content(node, placement.account)
        return Execution(
            requester.identity,
            process,
            placement,
            lock,
            here=False,
            namespaces=namespaces,
            may_lack_label=bool(placement.label) and self.refusals.is_for_everybody(node),
            opens=_opened_by(node) if placement.label else (),
        )


def _opened_by(node: Node) -> tuple[bytes, ...] | None:
    """The paths that a file or view opens below the directory of its process; None if unknown."""
    if not node.is_joined_view:
        return (node.path,)
    assert node.sibling is not None
    above = node.path[: -len(node.source)]
    return tuple(above + name.encode() for name in node.sibling.view.reads) or None
