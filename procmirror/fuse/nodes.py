"""Inode numbers for what the kernel knows of the mirror, for as long as it does.

A node is a name in its parent's node. The nodes of one process share its `Process`, so that a
number that was given out for one process never means another. FORGET drops nodes that no dentry
refers to any more.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from typing import Any

from procmirror.fuse.kept_nodes import KeptNodes
from procmirror.fuse.listed_numbers import ListedNumbers
from procmirror.mirror.places import is_of_thread, is_thread
from procmirror.mirror.siblings import Sibling
from procmirror.mirror.traits import Directory, searched
from procmirror.procfs.proc import Attributes
from procmirror.procfs.processes import Proc, Process

ROOT = 1
# Our numbers begin where the kernel's numbers of sockets have not come yet and those of namespaces
# (from 0xf0000000 on) are not: a socket or namespace has its own number here (link_targets.py). A
# program of 32 bits may be unable to take more than 32 bits.
_FIRST, _LAST, _BEYOND = 1 << 31, 0xEFFFFFFF, 1 << 33
# The limit of names in indexes that are kept: anything is a name there, and the kernel forgets none
# of its own accord.
_MOST_INDEX_NODES = 8192
# The limit of files and links of threads and of descriptors that are kept: one process can have as
# many as the product of both.
_MOST_LEAVES = 50_000
# How many directories of threads and of network interfaces are kept, each with what is below it:
# nothing else ends them where the thread lives on, or the interface has another name, and memory is
# not short.
_MOST_DIRECTORIES = 10_000
_INTERFACES = "sys/net/"


def _is_populous(traits: Directory) -> bool:
    """Whether there can be any number of such directories, or of names in one."""
    return (
        traits.populous
        or is_of_thread(traits.path)
        or traits.path.startswith(_INTERFACES)
        or traits.pattern.startswith("net/")
    )


class Node:
    """One name: where it is in /proc, and what is known of it as a directory or a view.

    `source` is the name of the entry whose rights and times it has: its own name, or that of a
    view's first source. `is_joined_view` says that it is a view that is made from more than one
    file.

    `looked_up` is the time of its last look-up. `last` is the result of that (mode, owner, group,
    time in nanoseconds), which an open file keeps when its process has ended.

    `found` says that a LOOKUP of it was answered. If only listings told of it, a LOOKUP may still
    be under way, and the kernel may have others wait for that.

    `is_long` says that so many names were there when it was listed that a worker has to read them.

    `asked_apart` says that somebody has asked about a name in it who is in other namespaces, or is
    confined otherwise than the daemon.
    """

    __slots__ = (
        "asked_apart",
        "children",
        "found",
        "is_joined_view",
        "is_long",
        "last",
        "looked_up",
        "lookups",
        "name",
        "number",
        "parent",
        "path",
        "process",
        "sibling",
        "source",
        "traits",
    )

    def __init__(
        self,
        number: int,
        parent: Node | None,
        name: bytes,
        process: Process | None,
        path: bytes,
        traits: Directory | None,
        sibling: Sibling | None,
    ) -> None:
        self.number = number
        self.parent = parent
        self.name = name
        self.process = process
        self.path = path
        self.traits = traits
        self.sibling = sibling
        self.source = name if sibling is None else sibling.source
        self.is_joined_view = sibling is not None and sibling.view.join is not None
        self.lookups = 0
        self.found = False
        self.is_long = False
        self.asked_apart = False
        self.looked_up = 0.0
        self.last: tuple[int, int, int, int] | None = None
        self.children: dict[bytes, Node] = {}

    @property
    def is_view_of_all(self) -> bool:
        """Whether this is a view of one process that is made of all processes."""
        return self.sibling is not None and self.sibling.view.whole

    @property
    def place(self) -> Directory:
        """The traits of the directory that it is in; for the root its own."""
        found = self.parent.traits if self.parent else self.traits
        assert found is not None
        return found


class Nodes:
    """All nodes by number and, from their parents, by name.

    `drop` is told an old name in an index, or of a file, when there are too many, and asks the
    kernel to forget it. `account_of` tells the account of the asker of a new name. `taken` says
    which numbers mean something else. `listed` are the numbers of names that have no node yet.
    """

    def __init__(
        self,
        traits: Directory,
        drop: Callable[[Node], None],
        account_of: Callable[[Any], int] = lambda _: 0,
    ) -> None:
        self.root = Node(ROOT, None, b"", None, b"", traits, None)
        self.root.lookups = 1
        self._nodes = {ROOT: self.root}
        self._next = _FIRST
        self.taken: Callable[[int], bool] = lambda _: False
        self._index_nodes = KeptNodes[Node](_MOST_INDEX_NODES)
        self._leaves = KeptNodes[Node](_MOST_LEAVES)
        self._directories = KeptNodes[Node](_MOST_DIRECTORIES)
        self._drop = drop
        self._account_of = account_of
        self.listed = ListedNumbers(self._numbers)

    def __getitem__(self, number: int) -> Node:
        return self._nodes[number]

    def get(self, number: object) -> Node | None:
        """The node of a number, if there is one."""
        return self._nodes.get(number) if isinstance(number, int) else None

    def __len__(self) -> int:
        return len(self._nodes)

    def _number(self) -> int:
        """A number that was never given out, and that no target of a link has."""
        while self.taken(self._next):
            self._next += 1
        number = self._next
        self._next = number + 1 if number != _LAST else _BEYOND
        return number

    def _numbers(self, count: int) -> Sequence[int]:
        """So many numbers that were never given out, and that no target of a link has."""
        first = self._next
        found = range(first, first + count)
        if _LAST in found or any(map(self.taken, found)):
            return [self._number() for _ in found]
        self._next = found.stop
        return found

    def add(
        self,
        parent: Node,
        name: bytes,
        process: Process | None,
        path: bytes,
        traits: Directory | None,
        sibling: Sibling | None,
        asker: object = None,
    ) -> Node:
        """A new node, in the place of any older one of its name; `asker` has looked it up."""
        listed = self.listed.take(parent.number, name)
        number = self._number() if listed is None or self.taken(listed) else listed
        node = Node(number, parent, name, process, path, traits, sibling)
        self._nodes[node.number] = node
        parent.children[name] = node
        kept = self._kept_among(parent.traits, traits)
        if kept is not None:
            too_many = kept.add(node.number, node, self._account_of(asker))
            if too_many is not None:
                self._drop(too_many)
        return node

    def _share(self, node: Node, asker: object) -> None:
        """Note that one more account has looked up a directory, in which it may stand."""
        if node.traits is None:
            return
        for kept in (self._directories, self._index_nodes):
            if node.number in kept:
                kept.add(node.number, node, self._account_of(asker))

    def _kept_among(self, of: Directory | None, traits: Directory | None) -> KeptNodes[Node] | None:
        """The nodes among which one counts, in a directory `of`; None if it is always kept."""
        if of is None:
            return None
        if of.is_index:
            return self._index_nodes
        if traits is None:
            return self._leaves if _is_populous(of) else None
        counts = is_thread(traits.path) or traits.path.startswith(_INTERFACES)
        return self._directories if counts else None

    def of(
        self,
        parent: Node,
        name: bytes,
        path: bytes,
        attributes: Attributes,
        source: Proc,
        asker: object = None,
    ) -> Node:
        """The node of a name that exists: the known one if it still means the same thing.

        In the root a name can come to mean another process. `source` distinguishes the two by the
        inode or, if the directory is not held any more, by the start time.
        """
        node = parent.children.get(name)
        at_root = parent.parent is None
        if node is not None and not (
            at_root and node.process and not _is_same(node.process, attributes.inode, source)
        ):
            self._share(node, asker)
            return node
        assert parent.traits is not None
        traits = None
        if stat.S_ISDIR(attributes.mode):
            traits = searched(parent.traits.below(name), attributes.mode)
        if at_root and traits and name.isdigit():
            return self.add(parent, name, Process(name, attributes.inode), b"", traits, None)
        sibling = parent.traits.siblings.find(name)
        return self.add(parent, name, parent.process, path, traits, sibling, asker)

    def forget(self, number: int, count: int) -> Process | None:
        """Take back `count` lookups; returns the process if the node of its directory is gone."""
        node = self._nodes.get(number)
        if node is None or number == ROOT:
            return None
        node.lookups -= count
        if node.lookups > 0:
            return None
        del self._nodes[number]
        for kept in (self._index_nodes, self._leaves, self._directories):
            kept.forget(number)
        self.listed.forget(number)
        if node.parent and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]
        return node.process if node.parent is self.root else None

    def processes(self) -> list[Node]:
        """The nodes of the processes in the root."""
        return [node for name, node in self.root.children.items() if name.isdigit()]


def _is_same(process: Process, inode: int, source: Proc) -> bool:
    """Whether a directory in the root is still that of a process."""
    if process.inode == inode:
        return True
    if process.descriptor >= 0 or process.start is None:
        return False
    try:
        source.directory(process)
    except OSError:
        return False
    return True
