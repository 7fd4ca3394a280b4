"""The handlers of open directories and files: OPENDIR and OPEN to RELEASEDIR and RELEASE."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext

import pyfuse3

from procmirror.fuse.boundary import request
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.fuse.open_files import RawFile
from procmirror.fuse.own_files import OwnContent
from procmirror.fuse.parts import Parts
from procmirror.identity.errors import error
from procmirror.identity.requester import RequestKind


class Opening(Parts):
    """Open files and directories, by the numbers that the kernel knows them by."""

    @request
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """OPENDIR.

        The directory is opened as the requester, and read at once if the right to do so ends with
        this request.
        """
        requester = self._identify(ctx, RequestKind.OPEN_AT_ONCE)
        node = self._nodes[inode]
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        opened = await self._directories.open(node, requester)
        try:
            if node.parent is None and self._private.concerns(ctx.pid):
                entries = self._directories.all_of(opened)
                opened.show_entries(await self._private.listed(entries, requester))
        except BaseException:
            self._directories.close(opened)
            raise
        return self._handles.add(opened)

    @request
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """READDIRPLUS: an entry with attributes is a lookup, which FORGET takes back."""
        handle = self._handles[fh]
        assert isinstance(handle, OpenDirectory)
        if start_id == 0:
            await self._directories.begin(handle)
        own = tuple(self._own_files.listed()) if handle.node.parent is None else ()
        if start_id >= 2 + len(own) + len(handle.names):
            # The kernel asks until nothing comes.
            return
        # The daemon acts as others only where names are looked up: that takes twice the rest.
        at_rest = handle.identity == self._credentials.rest or not self._reader.looks_up(handle)
        with nullcontext() if at_rest else self._dispatch.acting_as(handle.identity):
            self._reader.read(handle, start_id, token, own)

    @request
    async def releasedir(self, fh: int) -> None:
        """RELEASEDIR."""
        handle = self._handles.take(fh)
        assert isinstance(handle, OpenDirectory)
        self._directories.close(handle)

    @request
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """OPEN: a raw file is opened as the requester; a view is made as the requester."""
        self._targets.refuse(inode)
        kind = RequestKind.OPEN_AT_ONCE if flags & os.O_NONBLOCK else RequestKind.OPEN
        requester = self._identify(ctx, kind)
        if inode in self._own_files:
            if flags & os.O_ACCMODE != os.O_RDONLY:
                raise error(errno.EROFS)
            content = self._own_files.open(inode, requester)
            return pyfuse3.FileInfo(fh=self._handles.add(content), direct_io=True)
        node = self._nodes[inode]
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        flags = self._writing.flags(node, requester, flags)
        file = await self._files.open(node, requester, flags)
        return pyfuse3.FileInfo(fh=self._handles.add(file), direct_io=True)

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
        handle = self._handles.take(fh)
        if isinstance(handle, OwnContent):
            handle.close()
        elif not isinstance(handle, OpenDirectory):
            self._files.close(handle)
