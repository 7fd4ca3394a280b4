"""READDIRPLUS: the entries of an open directory with their attributes."""

from __future__ import annotations

import stat
from collections.abc import Sequence

import pyfuse3

from procmirror.fuse.attributes import NodeAttributes
from procmirror.fuse.nodes import Node, Nodes
from procmirror.fuse.open_directory import OpenDirectory
from procmirror.mirror import tree
from procmirror.procfs import proc
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc


class DirectoryReader:
    """Answers READDIRs; each entry is a lookup, which FORGET takes back."""

    def __init__(self, source: Proc, nodes: Nodes, attributes: NodeAttributes) -> None:
        self._proc = source
        self._nodes = nodes
        self._attributes = attributes

    def read(
        self,
        handle: OpenDirectory,
        start: int,
        token: pyfuse3.ReaddirToken,
        own: Sequence[tuple[bytes, pyfuse3.EntryAttributes]] = (),
    ) -> None:
        """Report the entries from number `start` on, as many as there is room for.

        `own` are names that no procfs has, which come first. This thread acts as the opener.
        """
        node = handle.node
        handle.look()
        if not _dots(node, start, token) or not _own(own, start, token):
            return
        before = 2 + len(own)
        at = max(start, before)
        while (entry := handle.nth(at - before)) is not None:
            name, attributes = entry
            at += 1
            if attributes is None:
                continue
            try:
                child, shown = self._listed(node, name, attributes)
            except FileNotFoundError:
                continue
            if not pyfuse3.readdir_reply(token, name, shown, at):
                if not child.lookups:
                    self._nodes.forget(child.number, 0)
                return
            child.lookups += 1

    def _listed(
        self, parent: Node, name: bytes, attributes: Attributes
    ) -> tuple[Node, pyfuse3.EntryAttributes]:
        """The node of a listed name, and the attributes for the kernel.

        The kernel keeps only the type of files in the root, because a walk to them looks them up
        again; so the attributes of an earlier listing are good enough.
        """
        known = parent.children.get(name)
        if attributes is tree.KNOWN and known and known.listed:
            return known, known.listed
        # That of a process is empty, and not needed.
        path = (known and known.path) or _below(parent, name)
        if attributes is tree.KNOWN:
            attributes = proc.attributes(self._proc.root, path)
            if parent.traits and (sibling := parent.traits.siblings.find(name)):
                attributes = tree.view_attributes(sibling, attributes)
        child = self._nodes.of(parent, name, path, attributes, self._proc)
        shown = self._attributes.answer(child, parent, attributes, listed=True)
        if parent.parent is None and stat.S_ISREG(attributes.mode):
            shown.attr_timeout = shown.entry_timeout = 0
            child.listed = shown
        return child, shown


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
    assert node.traits is not None
    sibling = node.traits.siblings.find(name)
    if sibling is not None:
        name = sibling.source
    return node.path + b"/" + name if node.path and name else name or node.path
