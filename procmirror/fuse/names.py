"""What the kernel may keep of names, and the names that it has to forget.

The kernel keeps a name (a dentry) and its attributes for as long as the answer to a LOOKUP says.
Nothing that depends on the requester may be kept. No right is decided by what is kept: every open,
link, listing and access is asked again (docs/PERMISSIONS.md).
"""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Callable

from procmirror.fuse.nodes import Node, Nodes
from procmirror.procfs import proc
from procmirror.procfs.processes import Proc

# For so many seconds the kernel may keep the name of a directory, or of a link in the root, if
# names are not secret there: while a user looks at one process, the kernel walks through them again
# and again. It may not keep their attributes then.
NAME_SECONDS = 0.02
# So long after it was asked to forget a name the kernel is asked again, if it still has it.
_AGAIN_SECONDS = 60.0
# For so many seconds, one tick of its clock, the kernel may keep attributes, for the lstat(2) or
# fstat(2) that caused the LOOKUP. It may not keep the name then, so that each walk brings new
# attributes. This is the rule for files, for all that a process has, and for directories that were
# not looked up a moment ago: for those it is unknown whether they are walked through or looked at.
# A thread that may not look the name up learns nothing from it: that right is asked at each walk. A
# thread that holds the file open is told what the kernel has by statx(2) without synchronisation.
# Below `sys`, where owner and mode depend on namespaces, none are kept any more of a directory in
# which a requester in others has asked for a name.
ATTRIBUTES_SECONDS = 0.001


_NONE: frozenset[int] = frozenset()
_DIRECTORIES = frozenset((stat.S_IFDIR,))
_DIRECTORIES_AND_LINKS = frozenset((stat.S_IFDIR, stat.S_IFLNK))


class KeptNames:
    """Decides how long the kernel keeps names, and revokes those of processes that have ended.

    `invalidate` asks the kernel to forget a name soon.
    """

    def __init__(self, source: Proc, nodes: Nodes, invalidate: Callable[[Node], None]) -> None:
        self._proc = source
        self._nodes = nodes
        self._invalidate = invalidate
        # When the kernel was asked to forget the node of a number.
        self._asked: dict[int, float] = {}

    def kinds_kept(self, parent: Node) -> frozenset[int]:
        """The types of files (S_IFMT of a mode) whose names in a directory the kernel may keep."""
        if not parent.traits or not parent.traits.public or self._proc.hides:
            return _NONE
        return _DIRECTORIES_AND_LINKS if parent.process is None else _DIRECTORIES

    def kept_for(self, node: Node, parent: Node, mode: int, *, listed: bool) -> tuple[float, float]:
        """How long the kernel may keep the name and the attributes of a node, in seconds.

        `listed` says that the name comes from a READDIRPLUS and not from a LOOKUP.
        """
        if not parent.traits or self._proc.hides:
            return 0, 0
        if not parent.traits.public:
            return 0, 0 if parent.traits.is_index or parent.asked_apart else ATTRIBUTES_SECONDS
        if stat.S_IFMT(mode) not in self.kinds_kept(parent):
            return 0, ATTRIBUTES_SECONDS
        now = time.monotonic()
        again, node.looked_up = now - node.looked_up < NAME_SECONDS, now
        if not (listed or again):
            return 0, ATTRIBUTES_SECONDS
        if node.process is not parent.process and node.process:
            node.process.named = now
        return NAME_SECONDS, 0

    def errno_of_missing(self, number: object, name: object, thread: int, code: int) -> int:
        """The errno for what does not exist, if the kernel may have used a name that it kept.

        `number` is the inode of the request, or its parent with `name`; `thread` is the requester;
        `code` is the kernel's own answer. ESTALE makes the kernel walk once more, without what it
        keeps (fs/namei.c), to the process that has the pid now, or to none. If that walk leads here
        again, it came from a directory that a process holds open, and gets `code`: each thread gets
        ESTALE once for each process. A requester that FUSE does not name (in another pid namespace)
        never gets it.
        """
        node = self._nodes.get(number)
        process = node.process if node else None
        if (
            not node
            or not process
            or time.monotonic() - process.named > 2 * NAME_SECONDS
            or self._proc.is_there(process)
        ):
            return code
        # For a name that it knows, the kernel asks only whether it is still valid, and asks again
        # if it is not.
        if isinstance(name, bytes) and name in node.children:
            del node.children[name]
            return code
        if not thread or thread in process.retrying:
            return code
        process.retrying.add(thread)
        return errno.ESTALE

    def invalidate_ended(self) -> None:
        """Have the kernel forget the processes that have ended; OSError as the kernel raises it.

        The kernel is asked again only after a while: as long as a user has the root locked, what it
        is asked waits.
        """
        known = self._nodes.processes()
        if not known:
            return
        alive = set(proc.names(self._proc.root, b""))
        before, now = self._asked, time.monotonic()
        self._asked = {}
        for node in known:
            # The number of a thread is not listed, but is the name of a directory all the same.
            if node.name not in alive and not self._proc.has(node.name):
                at = before.get(node.number, -_AGAIN_SECONDS)
                if now - at >= _AGAIN_SECONDS:
                    at = now
                    self._invalidate(node)
                self._asked[node.number] = at
