"""Sockets and namespaces as what the links of `fd/` and `ns/` lead to.

The text of such a link, `socket:[8080]` or `net:[4026531840]`, is no path. To follow it makes
the kernel look that name up beside the link, and stat(2) then asks for its attributes. The answer
is the type and the inode number, which is what lsof, lsns, lsfd and `ss` want to know. A name is
found only by the thread that has just read it from a link there, and, but for one look at once,
only if the kernel lets that thread read it again: the right to follow such a link is the right to
read it (proc_fd_link, proc_ns_get_link in the kernel's fs/proc). None of it can be opened: a socket
never can, and a namespace that could not be entered must not look like one.

Pipes are left out. A name of that type would be a pipe of its own, at whose opening a program would
wait for ever.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, TypeVar

from procmirror.fuse.nodes import Node, Nodes
from procmirror.identity.errors import error
from procmirror.procfs.proc import Attributes

# The directories whose links lead to what no path names.
_PLACES = frozenset({"PID/fd", "PID/ns"})
_TEXT = re.compile(rb"(socket|cgroup|ipc|mnt|net|pid|time|user|uts):\[([0-9]{1,18})\]")
# As the kernel makes them: sock_alloc in net/socket.c, path_from_stashed in fs/nsfs.c.
_SOCKET, _NAMESPACE = stat.S_IFSOCK | 0o777, stat.S_IFREG | 0o444
# How long after it was told a text is found, and how many are remembered.
_SECONDS, _MOST_READ, _MOST_KNOWN = 5.0, 4096, 50_000
# For so many seconds a READLINK also answers for the LOOKUP that follows it in the same walk: the
# kernel sends both for a stat(2) of a link, and procfs checks the requester's right once.
_WALK_SECONDS = 0.05
_BLOCK = 4096
# Smaller numbers are the root's and those of the mirror's own files.
_FEWEST = 16


class _Asking(Protocol):
    """What FUSE says of a requester: the thread, 0 for one of another pid namespace, and ids."""

    @property
    def pid(self) -> int:
        """The number of the thread."""

    @property
    def uid(self) -> int:
        """Its user id for files."""

    @property
    def gid(self) -> int:
        """Its group id for files."""


Asking = TypeVar("Asking", bound=_Asking)


class _Target:
    """One socket or namespace that the kernel knows: its attributes and how often it was found.

    `parent` and `name` are where it was found last.
    """

    __slots__ = ("attributes", "lookups", "name", "parent")

    def __init__(self, attributes: Attributes, parent: int, name: bytes) -> None:
        self.attributes = attributes
        self.parent = parent
        self.name = name
        self.lookups = 0


class _LinkRead(NamedTuple):
    """The link that a text was read from, and until when the text is found.

    Until `unasked` the link need not be read again for it.
    """

    link: bytes
    until: float
    unasked: float


class LinkTargets:
    """All targets by inode number, which is also their number in FUSE.

    `drop` asks the kernel to forget a name (the number of its directory, and the name).
    """

    def __init__(self, nodes: Nodes, drop: Callable[[int, bytes], None]) -> None:
        self._nodes = nodes
        self._drop = drop
        # By directory, text, thread and ids: the number of a thread may be another user's soon.
        self._read: OrderedDict[tuple[int, bytes, int, int, int], _LinkRead] = OrderedDict()
        self._known: OrderedDict[int, _Target] = OrderedDict()
        nodes.taken = self._known.__contains__

    def remember(self, node: Node, text: bytes, asking: _Asking) -> None:
        """Remember that a thread was told the text of a link."""
        if node.parent is None or node.place.pattern not in _PLACES or not _TEXT.fullmatch(text):
            return
        key = node.parent.number, text, asking.pid, asking.uid, asking.gid
        now = time.monotonic()
        self._read[key] = _LinkRead(node.name, now + _SECONDS, now + _WALK_SECONDS)
        self._read.move_to_end(key)
        if len(self._read) > _MOST_READ:
            self._read.popitem(last=False)

    async def found(
        self,
        parent: Node,
        name: bytes,
        asking: Asking,
        read: Callable[[Node, Asking], Awaitable[bytes]],
    ) -> Attributes | None:
        """The attributes of a name that a thread was told in this directory; None for any other.

        All that they say is in the name. `read` reads a link as the requester; OSError as the
        kernel's. The first LOOKUP after READLINK, if it comes at once, needs none.
        """
        now = time.monotonic()
        key = parent.number, name, asking.pid, asking.uid, asking.gid
        known = self._read.get(key)
        link = parent.children.get(known.link) if known and known.until > now else None
        if known is None or link is None:
            return None
        if known.unasked > now:
            self._read[key] = known._replace(unasked=0.0)
        elif await read(link, asking) != name:
            return None
        return self._looked_up(parent.number, name)

    def _looked_up(self, parent: int, name: bytes) -> Attributes | None:
        match = _TEXT.fullmatch(name)
        assert match
        number = int(match[2])
        mode = _SOCKET if match[1] == b"socket" else _NAMESPACE
        target = self._known.get(number)
        if target is None:
            # A number that means something else here already cannot mean this too.
            if number < _FEWEST or self._nodes.get(number) is not None:
                return None
            attributes = Attributes(mode, number, 1, 0, 0, 0, 0, _BLOCK, 0, 0, 0)
            target = self._known[number] = _Target(attributes, parent, name)
            if len(self._known) > _MOST_KNOWN:
                oldest = next(iter(self._known.values()))
                self._known.move_to_end(oldest.attributes.inode)
                self._drop(oldest.parent, oldest.name)
        elif target.attributes.mode != mode:
            return None
        target.parent, target.name = parent, name
        target.lookups += 1
        return target.attributes

    def attributes(self, number: int) -> Attributes | None:
        """The attributes of a target that the kernel knows; None for what is no target."""
        target = self._known.get(number)
        return target.attributes if target else None

    def check(self, number: int, mode: int) -> bool:
        """Whether a number is a target's, for ACCESS. EACCES for the right to execute a namespace.

        Nobody may write to a namespace.
        """
        target = self._known.get(number)
        if target is None:
            return False
        if not stat.S_ISSOCK(target.attributes.mode) and mode & (os.X_OK | os.W_OK):
            raise error(errno.EACCES)
        return True

    def refuse(self, number: int, code: int = errno.EACCES) -> None:
        """Refuse to open or to change a target.

        lsns takes EACCES for a namespace of which it cannot ask more, and nsenter ends with it.
        """
        if number in self._known:
            raise error(code)

    def forget(self, number: int, count: int) -> bool:
        """Take back `count` lookups; whether the number is a target's."""
        target = self._known.get(number)
        if target is None:
            return False
        target.lookups -= count
        if target.lookups <= 0:
            del self._known[number]
        return True
