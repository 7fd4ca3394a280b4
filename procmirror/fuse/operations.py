"""The FUSE adapter: requests of pyfuse3 in, attributes, bytes and errnos out.

Knows no view by name.

Each request says which thread made it; what it may do is asked of the kernel in that thread's name,
here for what cannot wait, in a worker for everything else. Nothing but FUSEError may leave a
handler: pyfuse3 ends the mount on anything else.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import trio

from procmirror.decoding.view import DecodeError
from procmirror.fuse.directories import Directories, OpenDirectory
from procmirror.fuse.errno_limits import sendable
from procmirror.fuse.files import Files
from procmirror.fuse.index_cache import IndexCache
from procmirror.fuse.names import KeptNames
from procmirror.fuse.nodes import Node, Nodes
from procmirror.fuse.open_files import OpenFile, RawFileByWorker
from procmirror.fuse.placement import Dispatch
from procmirror.fuse.quota import Quota
from procmirror.fuse.writing import READ_ONLY, Rules, Writing
from procmirror.identity.credentials import Credentials
from procmirror.identity.errors import Unanswered
from procmirror.identity.requester import Requester, Requesters
from procmirror.mirror import tree
from procmirror.mirror.tree import Directory, Entry
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes, Proc
from procmirror.workers.calls import Workers
from procmirror.workers.operations import CheckAccess, GetAttributes, ReadLink
from procmirror.workers.process import ProcRoots

log = logging.getLogger("procmirror")

_SWEEP_SECONDS = 2.0
# The operations that end a walk by names, some of which the kernel may have kept, and that it
# begins anew on ESTALE.
_WALKED = frozenset({"lookup", "readlink", "opendir", "open", "listxattr"})
P = ParamSpec("P")
T = TypeVar("T")


def request(
    handler: Callable[Concatenate[ProcMirror, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[ProcMirror, P], Coroutine[Any, Any, T]]:
    """The error boundary.

    What the kernel said goes on as its errno, what a decoder said as EIO, a mistake of ours too.
    """

    async def bounded(self: ProcMirror, /, *arguments: P.args, **keywords: P.kwargs) -> T:
        try:
            return await handler(self, *arguments, **keywords)
        except Exception as error:  # noqa: BLE001 - whatever else left here would end the mount
            code = self.errno_of(error, handler.__name__, arguments)
        raise pyfuse3.FUSEError(sendable(code))

    bounded.__name__, bounded.__doc__ = handler.__name__, handler.__doc__
    return bounded


class ProcMirror(pyfuse3.Operations):
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
        rules: Rules = READ_ONLY,
    ) -> None:
        super().__init__()
        self._proc = source
        self._credentials = credentials
        self._requesters = requesters
        self._roots = roots
        self._nodes = Nodes(tree.directory(""), _drop)
        self._names = KeptNames(source, self._nodes, _drop)
        self._handles: dict[int, OpenFile | OpenDirectory] = {}
        self._next_handle = 1
        self._complained = 0.0
        self._dispatch = Dispatch(source, credentials, requesters, workers, roots)
        quota = Quota()
        self._files = Files(source, credentials, requesters, roots, quota, self._dispatch)
        self._indexes = IndexCache(source, requesters, workers, roots, self._dispatch)
        self._directories = Directories(
            source, credentials, workers, quota, self._dispatch, self._indexes
        )
        self._writing = Writing(rules.writes, self._dispatch)
        self._leads_to_proc = rules.leads_to_proc

    def errno_of(self, error: Exception, name: str, arguments: Sequence[Any]) -> int:
        """The errno that an error becomes which has left the handler of this name."""
        try:
            return self._errno_of(error, name, arguments)
        except Exception:
            log.exception("the error of a request could not be told")
            return errno.EIO

    def _errno_of(self, error: Exception, name: str, arguments: Sequence[Any]) -> int:
        if isinstance(error, pyfuse3.FUSEError):
            return int(error.errno)
        if isinstance(error, DecodeError):
            self.complain("%s", error)
            return errno.EIO
        if not isinstance(error, OSError):
            log.error("a request failed", exc_info=error)
            return errno.EIO
        code = error.errno or errno.EIO
        if isinstance(error, Unanswered):
            self.complain("not answered: %s", error.strerror)
            # Any other errno makes the kernel drop the name, and with it whatever is mounted or
            # stands below.
            return errno.ENOMEM if name == "lookup" else code
        if name in _WALKED and code in {errno.ENOENT, errno.ESRCH}:
            return self.vanished(arguments, code)
        return code

    def complain(self, message: str, about: object) -> None:
        """One line a second at most about what anybody can cause."""
        now = time.monotonic()
        if now - self._complained > 1:
            self._complained = now
            log.warning(message, about)

    def vanished(self, arguments: Sequence[Any], code: int) -> int:
        """The errno for what is not there, from the arguments of a handler."""
        thread = getattr(arguments[-1], "pid", 0)
        return self._names.errno_of_missing(arguments[0], arguments[1], thread, code)

    def node(self, inode: int) -> Node | None:
        """The node that the kernel knows by a number; None if it was forgotten."""
        return self._nodes.get(inode)

    # Names and attributes

    @request
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """LOOKUP, as procfs does it: where no answer depends on the requester, without it."""
        parent = self._nodes[parent_inode]
        traits = parent.traits
        if traits is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if traits.public and parent.process is None and parent.path:
            # Root may close those; the directories of processes are as the kernel makes them.
            mode = proc.attributes(self._proc.root, parent.path).mode
            traits = parent.traits = tree.searched(traits, mode)
        if traits.hides(name):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        sibling = traits.siblings.get(name)
        source = name if sibling is None else sibling.source
        path = parent.path + b"/" + source if parent.path and source else source or parent.path
        if traits.public and not (self._proc.hides or traits.indexes):
            attributes = proc.attributes(self._proc.directory(parent.process), path)
        else:
            attributes = await self._attributes(parent, traits, path, source, ctx)
        if sibling is not None:
            attributes = tree.view_attributes(sibling, attributes)
        node = self._node(parent, name, path, attributes)
        node.lookups += 1
        return self._named(node, parent, attributes)

    def _named(
        self, node: Node, parent: Node, attributes: Attributes, *, listed: bool = False
    ) -> pyfuse3.EntryAttributes:
        """The answer to a LOOKUP, with how long the kernel may keep it."""
        entry = _entry(node.number, attributes)
        if node.process is not None:
            node.last = attributes.mode, attributes.uid, attributes.gid, attributes.mtime
        entry.entry_timeout, entry.attr_timeout = self._names.kept_for(
            node, parent, attributes.mode, listed=listed
        )
        return entry

    async def _attributes(
        self,
        parent: Node,
        traits: Directory,
        path: bytes,
        source: bytes,
        ctx: pyfuse3.RequestContext,
    ) -> Attributes:
        if traits.has_index(source):
            return await self._indexes.attributes(path, ctx)
        directory = self._proc.directory(parent.process)
        if traits.public and not self._proc.hides:
            return proc.attributes(directory, path)
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        try:
            return await self._dispatch.attributes_as(requester, parent, traits, path, source)
        except FileNotFoundError:
            # Such a mount hides what it says of a process, not its name: procfs's own lookup
            # succeeds.
            if self._proc.hides == "invisible" and parent.number == 1 and name_is_number(path):
                return proc.attributes(directory, path)._replace(uid=0, gid=0)
            raise

    def _node(self, parent: Node, name: bytes, path: bytes, attributes: Attributes) -> Node:
        """The node of a name that exists: the known one if it still means the same thing."""
        return self._nodes.of(parent, name, path, attributes, self._proc)

    @request
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """GETATTR: by name again, as owner and mode change with the process."""
        node = self._nodes[inode]
        parent = node.parent
        if parent is None:
            return _entry(inode, proc.attributes(self._proc.root, b""))
        try:
            attributes = await self._present_attributes(node, parent, ctx)
        except (FileNotFoundError, ProcessLookupError):
            if not node.last or not self._is_held(node):
                raise
            attributes = _after_the_end(node.last, is_process=node.process is not parent.process)
        if node.sibling:
            attributes = tree.view_attributes(node.sibling, attributes)
        return _entry(inode, attributes)

    async def _present_attributes(
        self, node: Node, parent: Node, ctx: pyfuse3.RequestContext
    ) -> Attributes:
        if node.place.has_index(node.name):
            return self._indexes.shown(node.path)
        if node.process is not parent.process:
            return await self._process_attributes(node, ctx)
        return await self._attributes(parent, node.place, node.path, node.source, ctx)

    def _is_held(self, node: Node) -> bool:
        """Whether a question about attributes comes by something open: fstat(2) fails for nothing.

        The kernel keeps no names of files, so that it asks for the attributes of one that is gone
        only for who holds it. The name of a directory may be kept for a moment.
        """
        if node.process is None or self._proc.hides:
            return False
        if node.traits is None:
            return True
        # The size of `fd` is how many there are, for which procfs refuses it (proc_fd_getattr).
        return node.name != b"fd" and any(
            isinstance(handle, OpenDirectory) and handle.node is node
            for handle in self._handles.values()
        )

    async def _process_attributes(self, node: Node, ctx: pyfuse3.RequestContext) -> Attributes:
        directory = self._proc.directory(node.process)
        if not self._proc.hides:
            return proc.attributes(directory, b"")
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        found = await self._dispatch.perform(node, requester, GetAttributes(), source=b"")
        return self._dispatch.translated([found], requester)[0]

    async def sweep(self) -> None:
        """Let the kernel forget processes that have ended, whose names it would else keep."""
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
        """FORGET: nodes that no dentry needs. It has no answer, so that an error is only logged."""
        for inode, count in inode_list:
            try:
                process = self._nodes.forget(inode, count)
                if process is not None:
                    self._proc.release(process)
            except Exception:
                log.exception("an entry could not be forgotten")

    @request
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """READLINK: `self` is the requester; every other text is the kernel's to him."""
        node = self._nodes[inode]
        at_root = node.parent is not None and node.parent.parent is None and node.process is None
        if at_root and node.name in {b"self", b"thread-self"} and not ctx.pid:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        if node.place.is_index:
            return await self._indexes.link(node.path, requester)
        if at_root:
            return self._root_link(node, requester)
        self._dispatch.refuse_confined(requester)
        text = await self._dispatch.perform(
            node,
            requester,
            ReadLink(node.path),
            source=node.name,
            self_capabilities=self._dispatch.self_capabilities(
                node.process, requester, node.place, node.name
            ),
            waits=node.place.place.links_wait,
        )
        return self._dispatch.native_path(node, text, requester) if self._leads_to_proc else text

    def _root_link(self, node: Node, requester: Requester) -> bytes:
        if node.name in {b"self", b"thread-self"}:
            process = self._proc.number(requester.tgid, self._roots.own)
            thread = self._proc.number(requester.tid, self._roots.own)
            if process is None or thread is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return process if node.name == b"self" else process + b"/task/" + thread
        if node.sibling:
            return proc.link(self._proc.root, node.path) + b"." + node.sibling.suffix.encode()
        return proc.link(self._proc.root, node.path)

    @request
    async def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        """Answer ACCESS, which faccessat(2), chdir(2) and chroot(2) send."""
        node = self._nodes[inode]
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        if mode & os.W_OK:
            self._writing.admit(node, requester)
        if (node.sibling and node.sibling.view.virtual) or node.place.has_index(node.name):
            return True
        if node.process is not None and node.traits and not node.traits.public:
            # Of a directory that not everybody may search the kernel asks a security module too.
            self._dispatch.refuse_confined(requester)
        await self._dispatch.perform(
            node,
            requester,
            CheckAccess(node.path, mode),
            source=node.source,
            self_capabilities=self._dispatch.self_capabilities(
                node.process, requester, node.place, node.source
            ),
        )
        return True

    # Directories

    @request
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """OPENDIR.

        Opened as the requester, and read at once where the right to do so is only that of this
        moment.
        """
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        return self._handle(await self._directories.open(self._nodes[inode], requester))

    @request
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """READDIRPLUS: names with attributes; each is a lookup that the kernel will take back."""
        handle = self._handles[fh]
        assert isinstance(handle, OpenDirectory)
        node = handle.node
        with self._credentials.acting_as(handle.identity):
            if start_id == 0:
                handle.again()
            at = start_id
            if not self._dots(node, at, token):
                return
            at, begun = max(at, 2), False
            while (entry := self._next(handle, at - 2, begun=begun)) is not None:
                name, attributes = entry
                at += 1
                try:
                    child, shown = self._listed(node, name, attributes)
                except FileNotFoundError:
                    continue
                if not pyfuse3.readdir_reply(token, name, shown, at):
                    if not child.lookups:
                        self._nodes.forget(child.number, 0)
                    return
                child.lookups += 1
                begun = True

    def _next(self, handle: OpenDirectory, at: int, *, begun: bool) -> Entry | None:
        """An entry; what there is is told before what keeps the rest from being told."""
        try:
            return handle.nth(at)
        except OSError:
            if not begun:
                raise
            return None

    def _listed(
        self, parent: Node, name: bytes, attributes: Attributes
    ) -> tuple[Node, pyfuse3.EntryAttributes]:
        """The node of a listed name, and what the kernel is told of it.

        Of files in the root that is for the type alone, as a walk to them looks them up again: each
        time the same will do.
        """
        if attributes is tree.KNOWN:
            known = parent.children.get(name)
            if known and known.listed:
                return known, known.listed
        path = _below(parent, name)
        if attributes is tree.KNOWN:
            attributes = proc.attributes(self._proc.root, path)
            if parent.traits and name in parent.traits.siblings:
                attributes = tree.view_attributes(parent.traits.siblings[name], attributes)
        child = self._node(parent, name, path, attributes)
        shown = self._named(child, parent, attributes, listed=True)
        if parent.parent is None and stat.S_ISREG(attributes.mode):
            shown.attr_timeout = shown.entry_timeout = 0
            child.listed = shown
        return child, shown

    def _dots(self, node: Node, start: int, token: pyfuse3.ReaddirToken) -> bool:
        """`.` and `..`, which are no lookups; whether there was room."""
        for at, (name, it) in enumerate(((b".", node), (b"..", node.parent or node))):
            if start <= at:
                attributes = pyfuse3.EntryAttributes()
                attributes.st_ino, attributes.st_mode = it.number, stat.S_IFDIR | 0o555
                if not pyfuse3.readdir_reply(token, name, attributes, at + 1):
                    return False
        return True

    @request
    async def releasedir(self, fh: int) -> None:
        """RELEASEDIR."""
        handle = self._handles.pop(fh)
        assert isinstance(handle, OpenDirectory)
        self._directories.close(handle)

    # Contents

    def _handle(self, handle: OpenFile | OpenDirectory) -> int:
        number = self._next_handle
        self._next_handle += 1
        self._handles[number] = handle
        return number

    @request
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """OPEN: a raw file is opened as the requester, a view is made as the requester."""
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        node = self._nodes[inode]
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
        """WRITE: the bytes are written as they are, as the opener."""
        file = self._handles[fh]
        assert isinstance(file, RawFileByWorker)
        return await self._writing.write(file, off, buf)

    @request
    async def release(self, fh: int) -> None:
        """RELEASE."""
        handle = self._handles.pop(fh)
        if not isinstance(handle, OpenDirectory):
            self._files.close(handle)

    # The rest. FLUSH and GETXATTR are not here: told once that there is none, the kernel answers
    # alone, and as for procfs.

    @request
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """STATFS: the original's, but for the type, which FUSE does not let us choose."""
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
        """LISTXATTR: procfs has none; a process that has ended is not there to have any."""
        del ctx
        process = self._nodes[inode].process
        if process and not self._proc.is_there(process):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return ()

    # Changes

    @request
    async def setattr(
        self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: pyfuse3.RequestContext
    ) -> Any:
        """SETATTR: judged as the kernel would, mostly without effect, as there.

        An open file's size was judged at OPEN.
        """
        requester = self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        if fh is None or not fields.update_size:
            await self._writing.change(self._nodes[inode], requester, attr, fields)
        return await self.getattr(inode, ctx)

    @request
    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """UNLINK: never."""
        del name
        await self._writing.remove(
            self._nodes[parent_inode], self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        )

    rmdir = unlink

    @request
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """RENAME: never; a new name is one that procfs does not know, which it says first."""
        del name_old, flags
        if name_new not in self._nodes[parent_inode_new].children:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        await self._writing.remove(
            self._nodes[parent_inode_old], self._requesters.identify(ctx.pid, ctx.uid, ctx.gid)
        )

    @request
    async def create(self, *_: Any, **__: Any) -> Any:
        """CREATE, MKNOD, MKDIR, SYMLINK, LINK: procfs does not know the name."""
        raise pyfuse3.FUSEError(errno.ENOENT)

    mknod = mkdir = symlink = link = create

    @request
    async def fsync(self, fh: int, datasync: bool) -> None:
        """FSYNC: a file of procfs has none."""
        del fh, datasync
        raise pyfuse3.FUSEError(errno.EINVAL)


def _drop(node: Node) -> None:
    """Let the kernel forget a name, some time soon."""
    assert node.parent
    pyfuse3.invalidate_entry_async(node.parent.number, node.name, ignore_enoent=True)


def name_is_number(path: bytes) -> bool:
    """Whether a path is the directory of a process."""
    return path.isdigit()


def _below(node: Node, name: bytes) -> bytes:
    assert node.traits is not None
    sibling = node.traits.siblings.get(name)
    if sibling is not None:
        name = sibling.source
    return node.path + b"/" + name if node.path and name else name or node.path


def _after_the_end(last: tuple[int, int, int, int], *, is_process: bool) -> Attributes:
    """What procfs tells of an open file whose process has ended: what it told last.

    The directory of the process itself is root's then (pid_getattr in the kernel's fs/proc/base.c).
    """
    mode, uid, gid, time_ns = last
    owner, links = (0, 0) if is_process else (uid, gid), 2 if stat.S_ISDIR(mode) else 1
    return Attributes(mode, 0, links, *owner, 0, 0, 1024, time_ns, time_ns, time_ns)


def _entry(number: int, found: Attributes) -> pyfuse3.EntryAttributes:
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = number
    entry.entry_timeout = entry.attr_timeout = 0
    entry.st_mode = found.mode
    entry.st_nlink = found.nlink
    entry.st_uid = found.uid
    entry.st_gid = found.gid
    entry.st_size = found.size
    entry.st_blocks = found.blocks
    entry.st_blksize = found.blksize
    entry.st_atime_ns = found.atime
    entry.st_mtime_ns = found.mtime
    entry.st_ctime_ns = found.ctime
    return entry
