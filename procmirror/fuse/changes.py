"""The handlers of changes: most changes are refused as procfs refuses them."""

from __future__ import annotations

import errno
from typing import Any

import pyfuse3

from procmirror.fuse.boundary import request
from procmirror.fuse.parts import Parts
from procmirror.identity.errors import error


class Changes(Parts):
    """SETATTR, and the operations that make or remove names."""

    @request
    async def setattr(
        self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: pyfuse3.RequestContext
    ) -> Any:
        """SETATTR: judged as the kernel would judge it; it mostly has no effect, as on procfs.

        The size of an open file was judged at OPEN.
        """
        if inode in self._own_files:
            raise error(errno.EPERM)
        self._targets.refuse(inode, errno.EPERM)
        requester = self._identify(ctx)
        if fh is None or not fields.update_size:
            await self._writing.change(self._nodes[inode], requester, attr, fields)
        return await self.getattr(inode, ctx)

    @request
    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """UNLINK: never."""
        del name
        await self._writing.remove(self._nodes[parent_inode], self._identify(ctx))

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
        """RENAME: never; as on procfs, an unknown new name is refused first."""
        del name_old, flags
        if name_new not in self._nodes[parent_inode_new].children:
            raise error(errno.ENOENT)
        await self._writing.remove(self._nodes[parent_inode_old], self._identify(ctx))

    @request
    async def create(self, *_: Any, **__: Any) -> Any:
        """CREATE, MKNOD, MKDIR, SYMLINK, LINK: procfs does not know the name."""
        raise pyfuse3.FUSEError(errno.ENOENT)

    mknod = mkdir = symlink = link = create

    @request
    async def fsync(self, fh: int, datasync: bool) -> None:
        """FSYNC: not supported by files of procfs."""
        del fh, datasync
        raise pyfuse3.FUSEError(errno.EINVAL)
