"""The parts of the mirror that the handlers of requests use, and how they are put together."""

from __future__ import annotations

import pyfuse3

from procmirror.fuse.account_names import AccountNames
from procmirror.fuse.asking_filesystems import AskingFilesystems
from procmirror.fuse.attributes import NodeAttributes
from procmirror.fuse.boundary import Bounded
from procmirror.fuse.directories import Directories
from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.files import Files
from procmirror.fuse.handles import Handles
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.link_targets import LinkTargets
from procmirror.fuse.links import Links
from procmirror.fuse.mounts_below import MountsBelow
from procmirror.fuse.names import KeptNames
from procmirror.fuse.nodes import Node, Nodes
from procmirror.fuse.object_links import ObjectLinks
from procmirror.fuse.own_files import OwnFiles
from procmirror.fuse.private_proc import PrivateProc
from procmirror.fuse.quota import Quota
from procmirror.fuse.readdir import DirectoryReader
from procmirror.fuse.state import State, encoded, state_of
from procmirror.fuse.turns import account_of_turn
from procmirror.fuse.writing import Writing
from procmirror.identity.credentials import Credentials
from procmirror.identity.requester import Requester, Requesters, RequestKind
from procmirror.identity.ring import Ring
from procmirror.mirror.settings import DEFAULT, Settings
from procmirror.mirror.traits import directory
from procmirror.procfs.link_targets import OwnMounts
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.calls import Workers


class Parts(Bounded):
    """Handlers whose errors become errnos, with what they ask and what they hold."""

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        workers: Workers,
        roots: ProcRoots,
        settings: Settings = DEFAULT,
        ring: Ring | None = None,
    ) -> None:
        super().__init__()
        self._proc, self._own = source, roots.own
        self._credentials = credentials
        self._requesters = requesters
        self._workers = workers
        self._handles = Handles()
        self._nodes = Nodes(directory(""), self._drop_unmounted, self._account_of_asker)
        self._targets = LinkTargets(self._nodes, _drop_name)
        self._names = KeptNames(source, self._nodes, _drop)
        self._mounts_below = MountsBelow(own_mounts := OwnMounts(roots.own))
        dispatch = self._dispatch = Dispatch(source, credentials, requesters, workers, roots, ring)
        dispatch.know_mounts(own_mounts)
        asks = AskingFilesystems(source.root).asks
        private = self._private = PrivateProc(source, asks, requesters, dispatch)
        names = AccountNames(roots.own, requesters.namespaces, asks)
        indexes = self._indexes = IndexCache(source, requesters, roots, dispatch, names)
        self._attributes = NodeAttributes(source, requesters, dispatch, indexes, self._names)
        self._reader = DirectoryReader(source, self._nodes, self._attributes, self._names)
        self._files = Files(source, roots.own, quota := Quota(), dispatch, private, names, asks)
        self._directories = Directories(source, quota, dispatch, indexes)
        objects = ObjectLinks(source, asks, own_mounts, dispatch, requesters)
        to_proc = settings.leads_to_proc
        self._links = Links(source, roots.own, dispatch, indexes, objects, leads_to_proc=to_proc)
        self._writing = Writing(settings.writes, dispatch)
        self._own_files = OwnFiles(lambda: encoded(self.state()), quota, dispatch)

    def state(self) -> State:
        """What the daemon tells of itself."""
        return state_of(self.counts, self._workers.state(), len(self._handles), self._own)

    def _drop_unmounted(self, node: Node) -> None:
        """Let the kernel forget a name of which there are too many, and all below a directory.

        Not what something is mounted on: the kernel would take that off, for everybody.
        """
        if not self._mounts_below.holds_below(node):
            _drop(node)

    def _account_of_asker(self, asker: pyfuse3.RequestContext | int) -> int:
        """The account of who looked up a name; that of an open directory is known."""
        if isinstance(asker, int):
            return asker
        return account_of_turn(asker, self._requesters, self._credentials.permitted)

    def mounted_on(self, device: bytes) -> None:
        """Have the device of the mount, `0:51`, by which it is told from other mirrors."""
        self._mounts_below.device = device

    def _identify(
        self, ctx: pyfuse3.RequestContext, kind: RequestKind = RequestKind.OTHER
    ) -> Requester:
        return self._requesters.identify(ctx.pid, ctx.uid, ctx.gid, kind)


def _drop(node: Node) -> None:
    """Let the kernel forget a name, some time soon."""
    assert node.parent
    pyfuse3.invalidate_entry_async(node.parent.number, node.name, ignore_enoent=True)


def _drop_name(directory: int, name: bytes) -> None:
    """Let the kernel forget a name that has no node of its own, some time soon."""
    pyfuse3.invalidate_entry_async(directory, name, ignore_enoent=True)
