"""The FUSE adapter: requests of pyfuse3 in; attributes, bytes and errnos out.

It knows no view by name.

Each request names the thread that made it. The kernel decides what the request may do, as that
thread: here if it cannot wait, in a worker otherwise. A handler may raise FUSEError only: pyfuse3
ends the mount on anything else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any

import pyfuse3
import trio

from procmirror.fuse.boundary import request
from procmirror.fuse.changes import Changes
from procmirror.fuse.nodes import ROOT, Node
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.opening import Opening
from procmirror.fuse.turns import account_of_turn
from procmirror.fuse.walking import Walking
from procmirror.identity.errors import Hidden, error

_SWEEP_SECONDS = 2.0
# The handlers, by the names that `request` knows them by, whose first argument is a directory that
# the kernel has locked. Of SETATTR it may be a file, of which nobody else waits for the lock.
_LOCKS_FIRST = frozenset({"lookup", "create", "unlink", "rename", "setattr"})
_STATVFS = (
    *("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail"),
    *("f_files", "f_ffree", "f_favail", "f_namemax"),
)


class ProcMirror(Walking, Opening, Changes):
    """The mirror as pyfuse3 asks for it."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def account_of(self, arguments: Sequence[Any]) -> int:
        """The account whose turn a request waits for: the requester's, or the opener's."""
        context = arguments[-1]
        if isinstance(context, pyfuse3.RequestContext):
            return account_of_turn(context, self._requesters, self._credentials.permitted)
        handle = self._handles[arguments[0]]
        if isinstance(handle, OpenDirectory):
            return handle.account
        return handle.charge.account

    def keeps_others(self, name: str, arguments: Sequence[Any]) -> bool:
        """Whether a request keeps a directory of the whole machine from everybody.

        READDIR waits for the LOOKUP of a name that it lists. In its account's queue it would have
        all others wait for this crowd's turns.
        """
        if name != "lookup":
            return False
        parent = self._nodes.get(arguments[0])
        known = parent and parent.children.get(arguments[1])
        if parent is None or parent.process is not None or known is None:
            return False
        return known.lookups > 0 and not known.found

    def directory_of(self, name: str, arguments: Sequence[Any]) -> int:
        """The number of the directory that the kernel has locked for a request; 0 for none.

        For open(2) with O_CREAT it locks the directory for itself during a LOOKUP, also of a mount
        that is read-only; with `-o write` during each change of its names or attributes.
        """
        if name == "rename" and arguments[2] == ROOT:
            return ROOT
        if name in _LOCKS_FIRST:
            return int(arguments[0])
        if name == "readdir":
            handle = self._handles[arguments[0]]
            return handle.node.number if isinstance(handle, OpenDirectory) else 0
        return 0

    def keeps_mounted(self, arguments: Sequence[Any], error: OSError) -> bool:
        """Whether the refusal of a LOOKUP may not cost what is mounted on the name."""
        if error.errno not in {errno.EACCES, errno.EPERM} and not isinstance(error, Hidden):
            return False
        parent, name = self._nodes.get(arguments[0]), arguments[1]
        known = parent and parent.children.get(name)
        return bool(known and known.lookups and self._mounts_below.holds_below(known))

    def vanished(self, arguments: Sequence[Any], code: int) -> int:
        """The errno for what does not exist, from the arguments of a handler."""
        thread = getattr(arguments[-1], "pid", 0)
        return self._names.errno_of_missing(arguments[0], arguments[1], thread, code)

    def node(self, inode: int) -> Node | None:
        """The node of a number; None if it was forgotten."""
        return self._nodes.get(inode)

    def own_name(self, inode: int) -> bytes | None:
        """The name of the mirror's own file of a number; None for any other number."""
        return self._own_files.name(inode)

    async def sweep(self) -> None:
        """Have the kernel forget processes that have ended, whose names it would keep.

        And close what was opened too late, and see that SOURCE hides processes now.
        """
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            self._dispatch.settle()
            self._indexes.forget_old()
            self._requesters.forget()
            try:
                self._proc.look_at_options()
            except OSError as refused:
                self.complain("the mounts cannot be read: %s", refused.strerror)
            try:
                self._names.invalidate_ended()
            except OSError as refused:
                # Without a descriptor for the listing now, they are forgotten the next time.
                self.complain("ended processes are not looked for: %s", refused.strerror)

    # FLUSH and GETXATTR are not here: once told that there is none, the kernel answers alone, as
    # for procfs.

    @request
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """STATFS: the source's, but for the type, which FUSE does not let a file system choose."""
        del ctx
        found, answer = os.fstatvfs(self._proc.root), pyfuse3.StatvfsData()
        for name in _STATVFS:
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
