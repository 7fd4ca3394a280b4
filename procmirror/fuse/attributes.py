"""The attributes of nodes in the answers to LOOKUP, GETATTR and READDIR."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable

import pyfuse3

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.names import KeptNames
from procmirror.fuse.nodes import Node
from procmirror.fuse.process_names import ProcessNames
from procmirror.identity.errors import hidden
from procmirror.identity.requester import Requesters
from procmirror.mirror import tree
from procmirror.mirror.traits import Directory
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc
from procmirror.workers.entry_operations import GetAttributes


class NodeAttributes:
    """Finds the attributes of names and nodes for a requester."""

    def __init__(
        self,
        source: Proc,
        requesters: Requesters,
        dispatch: Dispatch,
        indexes: IndexCache,
        names: KeptNames,
    ) -> None:
        self._proc = source
        self._requesters = requesters
        self._dispatch = dispatch
        self._indexes = indexes
        self._names = names
        self._processes = ProcessNames(source, dispatch)

    async def of_name(
        self,
        parent: Node,
        traits: Directory,
        path: bytes,
        source: bytes,
        ctx: pyfuse3.RequestContext,
    ) -> Attributes:
        """The attributes of an entry in a directory, by name; OSError as the kernel raises it."""
        if traits.has_index(source):
            return await self._indexes.attributes(path, ctx)
        directory = self._proc.directory(parent.process)
        if traits.public and not self._asks(ctx):
            return proc.attributes(directory, path)
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        try:
            if parent.number == 1 and path.isdigit():
                return await self._processes.attributes(path, requester)
            return await self._dispatch.attributes_as(requester, parent, traits, path, source)
        except FileNotFoundError:
            # Such a mount hides the content of a process, not its name: procfs's own lookup
            # succeeds.
            if parent.number != 1 or not path.isdigit() or not self._proc.hides:
                raise
            if self._proc.hides == "invisible":
                return proc.attributes(directory, path)._replace(uid=0, gid=0)
            if self._proc.has(path):
                # An error costs what is mounted there, which this one tells of.
                raise hidden(errno.ENOENT) from None
            raise

    async def of_node(
        self,
        node: Node,
        parent: Node,
        ctx: pyfuse3.RequestContext,
        is_open: Callable[[Node], bool],
    ) -> Attributes:
        """The attributes of a known name, asked for again.

        `is_open` says whether a directory is held open.
        """
        try:
            attributes = await self._present(node, parent, ctx)
        except (FileNotFoundError, ProcessLookupError) as gone:
            if not node.last or not self._is_held(node, is_open):
                # As a walk finds it, or proc_fd_getattr of an open `fd`.
                raise FileNotFoundError(errno.ENOENT, "") from gone
            attributes = after_the_end(node.last, is_process=node.process is not parent.process)
        return tree.view_attributes(node.sibling, attributes) if node.sibling else attributes

    async def _present(self, node: Node, parent: Node, ctx: pyfuse3.RequestContext) -> Attributes:
        place = node.place
        if place.has_index(node.name):
            return self._indexes.shown(node.path)
        if node.process is parent.process:
            return await self.of_name(parent, place, node.path, node.source, ctx)
        directory = self._proc.directory(node.process)
        if not self._asks(ctx):
            return proc.attributes(directory, b"")
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        if node.process and (own := self._processes.of_oneself(node.process, requester)):
            return own
        found = await self._dispatch.perform(node, requester, GetAttributes(), source=b"")
        return self._dispatch.translated([found], requester)[0]

    def _asks(self, ctx: pyfuse3.RequestContext) -> bool:
        """Whether attributes that everybody may see are asked for as the requester."""
        return bool(self._proc.hides) or self._requesters.confinement.hides_attributes(ctx.pid)

    def _is_held(self, node: Node, is_open: Callable[[Node], bool]) -> bool:
        """Whether the attributes of an open file are asked for: fstat(2) never fails.

        The kernel keeps no names of files, so it asks for the attributes of one that is gone only
        for a process that holds it open. It may keep the name of a directory for a moment.
        """
        if node.process is None or self._proc.hides:
            return False
        # The size of `fd` is the number of descriptors, which procfs may refuse (proc_fd_getattr).
        return node.traits is None or (node.name != b"fd" and is_open(node))

    def answer(
        self, node: Node, parent: Node, attributes: Attributes, *, listed: bool = False
    ) -> pyfuse3.EntryAttributes:
        """The answer to a LOOKUP, with the time for which the kernel may keep it."""
        if node.process is not None:
            node.last = attributes.mode, attributes.uid, attributes.gid, attributes.mtime
        kept = self._names.kept_for(node, parent, attributes.mode, listed=listed)
        return entry_of(node.number, attributes, kept)


def after_the_end(last: tuple[int, int, int, int], *, is_process: bool) -> Attributes:
    """The attributes of an open file whose process has ended: those of the last look-up.

    The directory of the process itself belongs to root then (pid_getattr, fs/proc/base.c).
    """
    mode, uid, gid, time_ns = last
    owner, links = (0, 0) if is_process else (uid, gid), 2 if stat.S_ISDIR(mode) else 1
    return Attributes(mode, 0, links, *owner, 0, 0, 1024, time_ns, time_ns, time_ns)


def entry_of(
    number: int, found: Attributes, kept: tuple[float, float] = (0, 0)
) -> pyfuse3.EntryAttributes:
    """Attributes in pyfuse3's form; `number` is the inode.

    `kept` tells how long the kernel may keep the name and the attributes, in seconds.
    """
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = number
    entry.entry_timeout, entry.attr_timeout = kept
    # In the order of `Attributes`.
    (
        entry.st_mode,
        _,
        entry.st_nlink,
        entry.st_uid,
        entry.st_gid,
        entry.st_size,
        entry.st_blocks,
        entry.st_blksize,
        entry.st_atime_ns,
        entry.st_mtime_ns,
        entry.st_ctime_ns,
    ) = found
    return entry
