"""What a mirror that was mounted with `-o write` lets requesters change.

It decides who may ask for it, and what is never asked of the kernel.

All else is the kernel's decision about a requester, with the same identity as on /proc itself.
Without that option, and for a requester in other namespaces, the mirror is a read-only file system:
EROFS.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from msgspec.structs import replace

from procmirror.fuse.dispatch import Dispatch
from procmirror.fuse.execution import Execution
from procmirror.fuse.nodes import Node
from procmirror.fuse.open_files import Opener, RawFile
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester
from procmirror.workers.entry_operations import CheckAccess, SetAttributes
from procmirror.workers.file_operations import Write
from procmirror.workers.operation import kept_open
from procmirror.workers.spool import INLINE_BYTES, Spool

_WRITING = os.O_ACCMODE | os.O_TRUNC


class Writing:
    """Decides who may write, and carries out every change.

    `allowed` is whether the mirror was mounted with `-o write`.
    """

    def __init__(self, allowed: bool, dispatch: Dispatch) -> None:
        self._allowed = allowed
        self._dispatch = dispatch

    def flags(self, node: Node, requester: Requester, flags: int) -> int:
        """The write-related flags of an open(2).

        EROFS if there are any, and the requester may not write here.
        """
        asked = flags & _WRITING
        if asked:
            self.admit(node, requester)
        return asked

    def admit(self, node: Node, requester: Requester) -> None:
        """EROFS if the requester may not write here.

        That is so for everything of the mirror's own, for the memory of processes, and for every
        requester in other namespaces or under another label of a security module.

        A sysctl checks for root's uid and no more; a container's root is kept from it by mounts in
        the container, which do not apply to this mirror.
        """
        memory = node.place.pattern == "PID" and node.name == b"mem"
        ours = bool(node.sibling) or node.place.has_index(node.name)
        if not self._allowed or ours or memory or self._dispatch.refusals.is_bound(requester):
            raise error(errno.EROFS)

    async def write(self, file: RawFile, offset: int, data: bytes) -> int:
        """Write `data` in one call as the opener; FUSE does not name the writer.

        Returns how many bytes the kernel took. No self-access capabilities are added: another
        program may run in the process by now.
        """
        # No seek if the file is at that position already: a seek would make a seq_file produce its
        # content.
        place = -1 if offset == file.position else offset
        file.position = -1
        inline = len(data) <= INLINE_BYTES
        operation = Write(place, len(data), data if inline else b"")
        spool = None if inline else Spool(len(data))
        try:
            descriptors = [file.descriptor]
            if spool:
                spool.add([data])
                descriptors.append(spool.number)
            taken = await self._dispatch.run(
                operation, kept_open(*descriptors), _written(file.opener)
            )
        finally:
            if spool:
                os.close(spool.number)
        file.position = offset + taken
        return taken

    async def change(self, node: Node, requester: Requester, wanted: Any, fields: Any) -> None:
        """SETATTR.

        A size needs the right to write and has no effect, the kernel judges owner and times, a mode
        is refused.
        """
        self.admit(node, requester)
        if fields.update_mode:
            raise error(errno.EPERM)
        if fields.update_size:
            await self._may(node, requester, os.W_OK)
            return
        owner = times = None
        if fields.update_uid or fields.update_gid:
            owner = (
                wanted.st_uid if fields.update_uid else -1,
                wanted.st_gid if fields.update_gid else -1,
            )
        if fields.update_atime or fields.update_mtime:
            times = (
                wanted.st_atime_ns if fields.update_atime else None,
                wanted.st_mtime_ns if fields.update_mtime else None,
            )
        operation = SetAttributes(node.path, owner, times)
        await self._dispatch.perform(node, requester, operation, source=node.source)

    async def remove(self, parent: Node, requester: Requester) -> None:
        """UNLINK, RMDIR, RENAME: no name of /proc can be removed.

        A requester without the right to change the directory gets that error first.
        """
        self.admit(parent, requester)
        await self._may(parent, requester, os.W_OK | os.X_OK)
        raise error(errno.EPERM)

    async def _may(self, node: Node, requester: Requester, mode: int) -> None:
        operation = CheckAccess(node.path, mode)
        await self._dispatch.perform(node, requester, operation, source=node.source)


def _written(opener: Opener) -> Execution:
    """The circumstances of a WRITE, which may have to wait for another lock than a READ."""
    execution, node = opener.execution, opener.node
    if execution.process is None:
        return execution
    lock = (execution.process, node.place.waits_for(node.name, written=True))
    return replace(execution, lock=lock)
