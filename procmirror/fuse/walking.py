"""The handlers of walks by names: LOOKUP, GETATTR, READLINK, ACCESS, FORGET."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Sequence

import pyfuse3

from procmirror.fuse.attributes import entry_of
from procmirror.fuse.boundary import request
from procmirror.fuse.links import is_self
from procmirror.fuse.nodes import Node
from procmirror.fuse.parts import Parts
from procmirror.identity.errors import error
from procmirror.identity.requester import Requester
from procmirror.mirror import tree
from procmirror.mirror.siblings import Sibling
from procmirror.mirror.traits import Directory, searched
from procmirror.procfs import proc
from procmirror.workers.entry_operations import CheckAccess

log = logging.getLogger("procmirror")


class Walking(Parts):
    """Names, their attributes, and where links lead."""

    @request
    async def lookup(
        self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """LOOKUP as procfs does it; the requester is identified only if the answer needs it."""
        parent = self._nodes[parent_inode]
        traits = parent.traits
        if traits is None or parent.process is None:
            traits = self._searched(parent)
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
        if known is not None and known.process is parent.process:
            sibling, source, path = known.sibling, known.source, known.path
        else:
            sibling, source, path = _place_of(parent, traits, name)
        asked = self._proc.hides or self._requesters.confinement.hides_attributes(ctx.pid)
        if traits.public and not (asked or traits.is_index or source in traits.indexes):
            attributes = proc.attributes(self._proc.directory(parent.process), path)
        else:
            attributes = await self._attributes.of_name(parent, traits, path, source, ctx)
        if sibling is not None:
            attributes = tree.view_attributes(sibling, attributes)
        node = self._nodes.of(parent, name, path, attributes, self._proc, ctx)
        node.lookups, node.found = node.lookups + 1, True
        if not whole:
            return entry_of(node.number, attributes._replace(uid=0, gid=0))
        return self._attributes.answer(node, parent, attributes)

    def _searched(self, parent: Node) -> Directory:
        """What is known of a directory in which a name is looked up; ENOTDIR for what is none."""
        traits = parent.traits
        if traits is None:
            raise error(errno.ENOTDIR)
        if traits.public and parent.process is None and parent.path:
            # Root may close these directories to others; the kernel decides the mode of the
            # directories of processes.
            mode = proc.attributes(self._proc.root, parent.path).mode
            traits = parent.traits = searched(traits, mode)
        return traits

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
        is_open = self._handles.holds_open
        return entry_of(inode, await self._attributes.of_node(node, parent, ctx, is_open))

    @request
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """READLINK: `self` is the requester; any other text is the kernel's answer to it."""
        node = self._nodes[inode]
        if is_self(node) and not ctx.pid:
            raise error(errno.ENOENT)
        text = await self._link_text(node, ctx)
        self._targets.remember(node, text, ctx)
        return text

    async def _link_text(self, node: Node, ctx: pyfuse3.RequestContext) -> bytes:
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        return await self._links.text(node, self._identify(ctx))

    @request
    async def access(self, inode: int, mode: int, ctx: pyfuse3.RequestContext) -> bool:
        """ACCESS, which faccessat(2), chdir(2) and chroot(2) send."""
        if inode in self._own_files:
            self._own_files.check(inode, mode, self._identify(ctx))
            return True
        if self._targets.check(inode, mode):
            return True
        node = self._nodes[inode]
        requester = self._identify(ctx)
        if self._private.concerns(ctx.pid):
            await self._private.admit(node, ctx)
        if mode & os.W_OK:
            self._writing.admit(node, requester)
        if (node.sibling and node.sibling.view.virtual) or node.place.has_index(node.name):
            return True
        await self._check_access(node, mode, requester)
        return True

    async def _check_access(self, node: Node, mode: int, requester: Requester) -> None:
        await self._dispatch.perform(
            node,
            requester,
            CheckAccess(node.path, mode),
            source=node.source,
            of_oneself=True,
        )

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


def _place_of(parent: Node, traits: Directory, name: bytes) -> tuple[Sibling | None, bytes, bytes]:
    """The view that a name in a directory is, if any, its first source, and the path of that."""
    sibling = traits.siblings.find(name)
    source = name if sibling is None else sibling.source
    path = parent.path + b"/" + source if parent.path and source else source or parent.path
    return sibling, source, path
