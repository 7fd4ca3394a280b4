"""READDIRPLUS: the entries of an open directory, with attributes where the kernel keeps the names.

For all others it sends a LOOKUP before it tells a program more than the name, the type and the
inode number, so that these are all that is answered.
"""

from __future__ import annotations

import stat
from collections.abc import Container, Mapping, Sequence

import pyfuse3

from procmirror.fuse.attributes import NodeAttributes
from procmirror.fuse.bare_entry import BareEntries
from procmirror.fuse.names import KeptNames
from procmirror.fuse.nodes import Node, Nodes
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc


class DirectoryReader:
    """Answers READDIRs; an entry with attributes is a lookup, which FORGET takes back."""

    def __init__(
        self, source: Proc, nodes: Nodes, attributes: NodeAttributes, names: KeptNames
    ) -> None:
        self._proc = source
        self._nodes = nodes
        self._attributes = attributes
        self._names = names
        self._bare = BareEntries()

    def looks_up(self, handle: OpenDirectory) -> bool:
        """Whether names are looked up for a listing, and not only told."""
        bare = self._bare.without(self._names.kinds_kept(handle.node))
        return handle.descriptor >= 0 and not handle.kinds <= bare.keys()

    def read(
        self,
        handle: OpenDirectory,
        start: int,
        token: pyfuse3.ReaddirToken,
        own: Sequence[tuple[bytes, pyfuse3.EntryAttributes]] = (),
    ) -> None:
        """Report the entries from number `start` on, as many as there is room for.

        `own` are names that no procfs has, which come first. This thread acts as the opener where
        names are looked up.
        """
        node = handle.node
        handle.look()
        if not _dots(node, start, token) or not _own(own, start, token):
            return
        before = 2 + len(own)
        bare = self._bare.without(self._names.kinds_kept(node))
        number, reply = self._numbers(handle, start, bare), pyfuse3.readdir_reply
        names, children = handle.names, node.children
        # This runs for each name of each listing, so that nothing is called without need.
        for place in range(max(start, before) - before, len(names)):
            name, kind = names[place]
            following = place + before + 1
            if entry := bare.get(kind):
                child = children.get(name)
                entry.number.value = number[name] if child is None else child.number
                if not reply(token, name, entry.attributes, following):
                    return
            else:
                attributes = handle.attributes(place)
                if attributes and not self._report(handle, name, attributes, following, token):
                    return

    def _numbers(
        self, handle: OpenDirectory, start: int, kinds: Container[int]
    ) -> Mapping[bytes, int]:
        """The numbers of names without nodes; at the start all such of these kinds get one."""
        listed, node = self._nodes.listed, handle.node
        if start:
            return listed.numbers(node.number)
        names = [one for one, kind in handle.names if kind in kinds and one not in node.children]
        return listed.numbers(node.number, names)

    def _report(
        self,
        handle: OpenDirectory,
        name: bytes,
        attributes: Attributes,
        at: int,
        token: pyfuse3.ReaddirToken,
    ) -> bool:
        """Report an entry with its attributes, as a lookup; whether there was room."""
        parent, account = handle.node, handle.account
        try:
            path = _below(parent, name)
            child = self._nodes.of(parent, name, path, attributes, self._proc, account)
        except FileNotFoundError:
            return True
        shown = self._attributes.answer(child, parent, attributes, listed=True)
        if not pyfuse3.readdir_reply(token, name, shown, at):
            if not child.lookups:
                self._nodes.forget(child.number, 0)
            return False
        child.lookups += 1
        return True


def _dots(node: Node, start: int, token: pyfuse3.ReaddirToken) -> bool:
    """Report `.` and `..`, which are no lookups; False if there was no room."""
    for at, (name, it) in enumerate(((b".", node), (b"..", node.parent or node))):
        if start <= at:
            attributes = pyfuse3.EntryAttributes()
            attributes.st_ino, attributes.st_mode = it.number, stat.S_IFDIR | 0o555
            if not pyfuse3.readdir_reply(token, name, attributes, at + 1):
                return False
    return True


def _own(
    own: Sequence[tuple[bytes, pyfuse3.EntryAttributes]], start: int, token: pyfuse3.ReaddirToken
) -> bool:
    """The mirror's own files, behind the dots; whether there was room."""
    for at, (name, attributes) in enumerate(own, 2):
        if start <= at and not pyfuse3.readdir_reply(token, name, attributes, at + 1):
            return False
    return True


def _below(node: Node, name: bytes) -> bytes:
    """The path of an entry, or of the first source of a view, in its process or in /proc."""
    assert node.traits is not None
    sibling = node.traits.siblings.find(name)
    if sibling is not None:
        name = sibling.source
    return node.path + b"/" + name if node.path and name else name or node.path
