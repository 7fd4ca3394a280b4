"""The FUSE adapter: requests of pyfuse3 in; attributes, bytes and errnos out.

It knows no view by name.

Each request names the thread that made it. The kernel decides what the request may do, as that
thread: here if it cannot wait, in a worker otherwise. A handler may raise FUSEError only: pyfuse3
ends the mount on anything else.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence
from typing import Any

import pyfuse3
import trio

from procmirror.fuse.attributes import NodeAttributes, entry_of
from procmirror.fuse.boundary import request
from procmirror.fuse.changes import Changes
from procmirror.fuse.directories import Directories, OpenDirectory
from procmirror.fuse.files import Files
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.link_targets import LinkTargets
from procmirror.fuse.links import Links, is_self
from procmirror.fuse.mounts_below import MountsBelow
from procmirror.fuse.names import KeptNames
from procmirror.fuse.nodes import Node, Nodes
from procmirror.fuse.object_links import ObjectLinks
from procmirror.fuse.open_files import OpenFile, RawFile
from procmirror.fuse.own_files import OwnContent, OwnFiles
from procmirror.fuse.placement import Dispatch
from procmirror.fuse.private_proc import PrivateProc
from procmirror.fuse.quota import Quota
from procmirror.fuse.readdir import DirectoryReader
from procmirror.fuse.state import State, encoded
from procmirror.fuse.state import of as state_of
from procmirror.fuse.turns import account_of_turn
from procmirror.fuse.writing import Writing
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Hidden, error
from procmirror.identity.requester import Requesters, RequestKind
from procmirror.mirror import tree
from procmirror.mirror.settings import DEFAULT, Settings
from procmirror.mirror.siblings import Sibling
from procmirror.mirror.traits import Directory, directory, searched
from procmirror.procfs import proc
from procmirror.procfs.link_targets import OwnMounts
from procmirror.procfs.processes import Proc
from procmirror.procfs.roots import ProcRoots
from procmirror.workers.calls import Workers
from procmirror.workers.entry_operations import CheckAccess

log = logging.getLogger("procmirror")

_SWEEP_SECONDS = 2.0


class ProcMirror(Changes):
    """The mirror as pyfuse3 asks for it."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(
        self,
        source: Proc,
        credentials: Credentials,
        requesters: Requesters,
        workers: Workers,
        roots: ProcRoots,
        settings: Settings = DEFAULT,
    ) -> None:
        super().__init__()
        self._proc = source
        self._credentials = credentials
        self._requesters = requesters
        self._nodes = Nodes(directory(""), self._drop_unmounted)
        self._workers = workers
        self._own = roots.own
        self._targets = LinkTargets(self._nodes, _drop_name)
        self._names = KeptNames(source, self._nodes, _drop)
        self._handles: dict[int, OpenFile | OpenDirectory | OwnContent] = {}
        self._next_handle = 1
        self._dispatch = Dispatch(source, credentials, requesters, workers, roots)
        quota = Quota()
        self._private = PrivateProc(requesters, self._dispatch)
        self._files = Files(source, roots.own, quota, self._dispatch, self._private)
        self._indexes = IndexCache(source, requesters, roots, self._dispatch)
        self._directories = Directories(source, credentials, quota, self._dispatch, self._indexes)
        self._attributes = NodeAttributes(
            source, requesters, self._dispatch, self._indexes, self._names
        )
        self._reader = DirectoryReader(source, self._nodes, self._attributes)
        own_mounts = OwnMounts(roots.own)
        self._mounts_below = MountsBelow(own_mounts)
        self._links = Links(
            source,
            roots.own,
            self._dispatch,
            self._indexes,
            ObjectLinks(source.root, own_mounts, self._dispatch, requesters),
            leads_to_proc=settings.leads_to_proc,
        )
        self._writing = Writing(settings.writes, self._dispatch)
        self._own_files = OwnFiles(lambda: encoded(self.state()), self._dispatch.refusals)

    def account_of(self, arguments: Sequence[Any]) -> int:
        """The account whose turn a request waits for: the requester's, or the opener's."""
        context = arguments[-1]
        if isinstance(context, pyfuse3.RequestContext):
            return account_of_turn(context, self._requesters, self._credentials.permitted)
        handle = self._handles[arguments[0]]
        if isinstance(handle, OpenDirectory | OwnContent):
            return handle.account
        return handle.charge.account

    def keeps_mounted(self, arguments: Sequence[Any], error: OSError) -> bool:
        """Whether the refusal of a LOOKUP may not cost what is mounted on the name."""
        if error.errno not in {errno.EACCES, errno.EPERM} and not isinstance(error, Hidden):
            return False
        parent, name = self._nodes.get(arguments[0]), arguments[1]
        known = parent and parent.children.get(name)
        return bool(known and known.lookups and self._mounts_below.holds(known))

    def _drop_unmounted(self, node: Node) -> None:
        """Let the kernel forget a name of which there are too many, and all below a directory."""
        if node.traits is None or not self._mounts_below.holds_below(node):
            _drop(node)

    def vanished(self, arguments: Sequence[Any], code: int) -> int:
        """The errno for what does not exist, from the arguments of a handler."""
        thread = getattr(arguments[-1], "pid", 0)
        return self._names.errno_of_missing(arguments[0], arguments[1], thread, code)

    def node(self, inode: int) -> Node | None:
        """The node of a number; None if it was forgotten."""
        return self._nodes.get(inode)

    def state(self) -> State:
        """What the daemon tells of itself."""
        return state_of(self.counts, self._workers.state(), len(self._handles), self._own)

    # Names and attributes

    @request
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """LOOKUP as procfs does it; the requester is identified only if the answer needs it."""
        parent = self._nodes[parent_inode]
        traits = parent.traits
        if traits is None:
            raise error(errno.ENOTDIR)
        if traits.public and parent.process is None and parent.path:
            # Root may close these directories to others; the kernel decides the mode of the
            # directories of processes.
            mode = proc.attributes(self._proc.root, parent.path).mode
            traits = parent.traits = searched(traits, mode)
        if parent.parent is None and (own := self._own_files.entry(name)):
            return own
        known = parent.children.get(name)
        if known is None and traits.hides(name):
            raise error(errno.ENOENT)
        private = self._private
        whole = not private.concerns(ctx.pid) or await private.admit_name(parent, name, ctx)
        # The text of a link to a socket or namespace, which ends so.
        if name.endswith(b"]") and (
            target := await self._targets.found(parent, name, ctx, self._link_text)
        ):
            return entry_of(target.inode, target)
        sibling, source, path = _place_of(parent, traits, name, known)
        if traits.public and not (self._proc.hides or traits.has_index(source)):
            attributes = proc.attributes(self._proc.directory(parent.process), path)
        else:
            attributes = await self._attributes.of_name(parent, traits, path, source, ctx)
        if sibling is not None:
            attributes = tree.view_attributes(sibling, attributes)
        node = self._nodes.of(parent, name, path, attributes, self._proc)
        node.lookups += 1
        if not whole:
            return entry_of(node.number, attributes._replace(uid=0, gid=0))
        return self._attributes.answer(node, parent, attributes)

    @request
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """GETATTR: asked by name again, because owner and mode change with the process."""
        if inode in self._own_files:
            return self._own_files.attributes(inode)
        if target := self._targets.attributes(inode):
            return entry_of(inode, target)
        node = self._nodes[inode]
        parent = node.parent
        if parent is None:
            return entry_of(inode, proc.attributes(self._proc.root, b""))
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx, by_name=True)
        return entry_of(inode, await self._attributes.of_node(node, parent, ctx, self._is_open))

    def _is_open(self, node: Node) -> bool:
        """Whether somebody holds a directory open."""
        return any(
            isinstance(handle, OpenDirectory) and handle.node is node
            for handle in self._handles.values()
        )

    async def sweep(self) -> None:
        """Have the kernel forget processes that have ended, whose names it would keep."""
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            self._indexes.forget_old()
            self._requesters.forget()
            try:
                self._names.invalidate_ended()
            except OSError as refused:
                # Without a descriptor for the listing now, they are forgotten the next time.
                self.complain("ended processes are not looked for: %s", refused.strerror)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """FORGET: nodes that no dentry needs. It has no answer, so an error is only logged."""
        for inode, count in inode_list:
            try:
                if inode in self._own_files or self._targets.forget(inode, count):
                    continue
                process = self._nodes.forget(inode, count)
                if process is not None:
                    self._proc.release(process)
            except Exception:
                log.exception("an entry could not be forgotten")

    @request
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """READLINK: `self` is the requester; any other text is the kernel's answer to it."""
        node = self._nodes[inode]
        if is_self(node) and not ctx.pid:
            raise error(errno.ENOENT)
        text = await self._link_text(node, ctx)
        self._targets.told(node, text, ctx.pid)
        return text

    async def _link_text(self, node: Node, ctx: pyfuse3.RequestContext) -> bytes:
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        return await self._links.text(node, self._requesters.identify(ctx.pid, ctx.uid, ctx.gid))

    @request
    async def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        """ACCESS, which faccessat(2), chdir(2) and chroot(2) send."""
        if inode in self._own_files:
            requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
            self._own_files.check(inode, mode, requester)
            return True
        if self._targets.check(inode, mode):
            return True
        node = self._nodes[inode]
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        if mode & os.W_OK:
            self._writing.admit(node, requester)
        if (node.sibling and node.sibling.view.virtual) or node.place.has_index(node.name):
            return True
        if node.process is not None and node.traits and not node.traits.public:
            # For a directory that not everybody may search, the kernel asks a security module too.
            self._dispatch.refusals.refuse_confined(requester)
        await self._dispatch.perform(
            node,
            requester,
            CheckAccess(node.path, mode),
            source=node.source,
            self_capabilities=self._dispatch.self_access.capabilities(
                node.process, requester, node.place, node.source
            ),
        )
        return True

    # Directories

    @request
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """OPENDIR.

        The directory is opened as the requester, and read at once if the right to do so ends with
        this request.
        """
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid, RequestKind.OPEN_AT_ONCE)
        node = self._nodes[inode]
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        opened = await self._directories.open(node, requester)
        if node.parent is None and self._private.concerns(ctx.pid):
            entries = self._directories.all_of(opened)
            opened.entries = await self._private.listed(entries, ctx, requester)
        return self._handle(opened)

    @request
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """READDIRPLUS: names with attributes; each is a lookup that FORGET takes back."""
        handle = self._handles[fh]
        assert isinstance(handle, OpenDirectory)
        if start_id == 0:
            await self._directories.begin(handle)
        with self._credentials.acting_as(handle.identity):
            own = self._own_files.listed() if handle.node.parent is None else ()
            self._reader.read(handle, start_id, token, tuple(own))

    @request
    async def releasedir(self, fh: int) -> None:
        """RELEASEDIR."""
        handle = self._handles.pop(fh)
        assert isinstance(handle, OpenDirectory)
        self._directories.close(handle)

    # Contents

    def _handle(self, handle: OpenFile | OpenDirectory | OwnContent) -> int:
        number = self._next_handle
        self._next_handle += 1
        self._handles[number] = handle
        return number

    @request
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """OPEN: a raw file is opened as the requester; a view is made as the requester."""
        self._targets.refuse(inode)
        kind = RequestKind.OPEN_AT_ONCE if flags & os.O_NONBLOCK else RequestKind.OPEN
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid, kind)
        if inode in self._own_files:
            if flags & os.O_ACCMODE != os.O_RDONLY:
                raise error(errno.EROFS)
            content = self._own_files.open(inode, requester)
            return pyfuse3.FileInfo(fh=self._handle(content), direct_io=True)
        node = self._nodes[inode]
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        flags = self._writing.flags(node, requester, flags)
        file = await self._files.open(node, requester, flags)
        return pyfuse3.FileInfo(fh=self._handle(file), direct_io=True)

    @request
    async def read(self, fh: int, off: int, size: int) -> bytes:
        """READ: a slice of the snapshot, or the kernel's answer to the opener."""
        file = self._handles[fh]
        assert not isinstance(file, OpenDirectory)
        return await file.read(off, size)

    @request
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """WRITE: the bytes are written unchanged, as the opener."""
        file = self._handles[fh]
        assert isinstance(file, RawFile)
        return await self._writing.write(file, off, buf)

    @request
    async def release(self, fh: int) -> None:
        """RELEASE."""
        handle = self._handles.pop(fh)
        if not isinstance(handle, OpenDirectory | OwnContent):
            self._files.close(handle)

    # FLUSH and GETXATTR are not here: once told that there is none, the kernel answers alone, as
    # for procfs.

    @request
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """STATFS: the source's, but for the type, which FUSE does not let a file system choose."""
        del ctx
        found, answer = os.fstatvfs(self._proc.root), pyfuse3.StatvfsData()
        for name in (
            "f_bsize",
            "f_frsize",
            "f_blocks",
            "f_bfree",
            "f_bavail",
            "f_files",
            "f_ffree",
            "f_favail",
            "f_namemax",
        ):
            setattr(answer, name, getattr(found, name))
        return answer

    @request
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        """LISTXATTR: none in procfs; ENOENT for a process that has ended."""
        del ctx
        if inode in self._own_files or self._targets.attributes(inode):
            return ()
        process = self._nodes[inode].process
        if process and not self._proc.is_there(process):
            raise error(errno.ESRCH)
        return ()


def _place_of(
    parent: Node, traits: Directory, name: bytes, known: Node | None
) -> tuple[Sibling | None, bytes, bytes]:
    """The view that a name in a directory is, if any, its first source, and the path of that."""
    if known is not None and known.process is parent.process:
        return known.sibling, known.source, known.path
    sibling = traits.siblings.find(name)
    source = name if sibling is None else sibling.source
    path = parent.path + b"/" + source if parent.path and source else source or parent.path
    return sibling, source, path


def _drop(node: Node) -> None:
    """Let the kernel forget a name, some time soon."""
    assert node.parent
    pyfuse3.invalidate_entry_async(node.parent.number, node.name, ignore_enoent=True)


def _drop_name(directory: int, name: bytes) -> None:
    """The same of a name that has no node of its own."""
    pyfuse3.invalidate_entry_async(directory, name, ignore_enoent=True)
